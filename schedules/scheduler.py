"""The scheduler behind `celery beat`: PostgreSQL remembers, one beat leads, and ticks become outbox rows.

Celery's own scheduler publishes ticks to the broker, loses them while it is down, and stops after a backward step of
the clock (docs/decisions). This one asks the database what is due and never speaks to the broker.
"""

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from sqlalchemy import Connection, text

from models import schedule
from models.nodes import NodeRole
from runtime import clock, database, heartbeat, logs, settings
from schedules import ticks
from schedules.timetable import TIMETABLE
from workers.presence import Presence

log = logs.get(__name__)

LEADER_LOCK = 7_160_503
SLEEP_MAX_SECONDS = 1
SLEEP_MIN_SECONDS = 0.05
STANDBY_SECONDS = 0.5
ALARM_SECONDS = 60


class PostgresScheduler(Scheduler):
    """Keeps nothing in the process but the connection that holds the lead.

    What it sleeps and waits is measured by the monotonic clock (Celery's service sleeps so too), and what is due by the
    database's: the clock of this machine may be set to anything meanwhile.
    """

    # Celery's own is a connection to the broker: nothing may ask for it and wait.
    producer: Any = None

    def __init__(self, *arguments: Any, monotonic: Callable[[], float] = time.monotonic, **options: Any) -> None:
        self._connection: Connection | None = None
        self._monotonic = monotonic
        # Not at once: after a standstill everything is overdue, and about to be done.
        self._alarmed_at = monotonic()
        self._leads_since: datetime | None = None
        # Celery gives beat no name, and two of them may run on one host.
        self._presence = Presence(f"beat-{os.getpid()}@{socket.gethostname()}", NodeRole.BEAT)
        super().__init__(*arguments, **options)

    def setup_schedule(self) -> None:
        """Nothing to set up: the timetable is code, and when it last ran is in the database."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Queue what is due; returns for how many seconds beat may sleep. Trouble is logged and tried again."""
        heartbeat.beat()
        try:
            wait = self._lead()
        except Exception as error:
            is_expected = database.is_unavailable(error)
            what = "beat cannot reach the database, trying again" if is_expected else "beat stumbles and starts again"
            log.warning(what, **database.cause_in_words(error), exc_info=not is_expected)
            self._let_go()
            return float(SLEEP_MAX_SECONDS)
        return min(max(wait.total_seconds(), SLEEP_MIN_SECONDS), SLEEP_MAX_SECONDS)

    def close(self) -> None:
        """Beat has been asked to stop."""
        if self._connection is not None:
            try:
                with self._connection.begin():
                    self._presence.leave(self._connection)
            except Exception as error:
                log.warning("beat cannot say that it goes", **database.cause_in_words(error))
        self._let_go()

    def _lead(self) -> timedelta:
        connection = self._connected()
        with connection.begin():
            # A session may take its own advisory lock again and again: this both takes the lead and proves it is held.
            leads = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADER_LOCK}).scalar_one()
            wait = self._turn(connection) if leads else timedelta(seconds=STANDBY_SECONDS)
        self._leads_since = (self._leads_since or clock.now()) if leads else None
        if self._presence.is_due:
            with connection.begin():
                self._presence.report(connection, self._leads_since)
        return wait

    def _turn(self, connection: Connection) -> timedelta:
        self._raise_alarm(connection)
        return ticks.tick(connection, TIMETABLE, settings.current().zone)

    def _raise_alarm(self, connection: Connection) -> None:
        """Say once a minute which entries do not succeed, for as long as that is so."""
        now = self._monotonic()
        if now - self._alarmed_at < ALARM_SECONDS:
            return
        self._alarmed_at = now
        for late in schedule.overdue(connection):
            log.warning(
                "the timetable is overdue",
                entry=late.entry,
                period_seconds=late.period.total_seconds(),
                silent_for_seconds=round(late.silent_for.total_seconds()),
                last_success_at=late.last_success_at.isoformat() if late.last_success_at else None,
            )

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = database.connect()
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
        self._leads_since = None
