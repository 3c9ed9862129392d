"""The scheduler behind `celery beat`: PostgreSQL remembers, one beat leads, and ticks become outbox rows.

Celery's own scheduler publishes ticks to the broker, loses them while it is down, and stops after a backward step of
the clock (docs/decisions). This one asks the database what is due and never speaks to the broker.
"""

import os
import socket
from datetime import datetime, timedelta
from typing import Any

from celery.beat import Scheduler
from sqlalchemy import Connection, text

from models.nodes import NodeRole
from runtime import clock, database, heartbeat, logs
from schedules import ticks
from schedules.timetable import TIMETABLE
from workers.presence import Presence

log = logs.get(__name__)

LEADER_LOCK = 7_160_503
SLEEP_MAX_SECONDS = 1
SLEEP_MIN_SECONDS = 0.05


class PostgresScheduler(Scheduler):
    """Keeps nothing in the process but the connection that holds the lead."""

    # Celery's service would otherwise connect to the broker before the first tick.
    producer: Any = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._connection: Connection | None = None
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
            log.warning("beat cannot reach the database, trying again", error=type(error).__name__)
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
                log.warning("beat cannot say that it goes", error=type(error).__name__)
        self._let_go()

    def _lead(self) -> timedelta:
        connection = self._connected()
        with connection.begin():
            # A session may take its own advisory lock again and again: this both takes the lead and proves it is held.
            leads = connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADER_LOCK}).scalar_one()
            wait = ticks.tick(connection, TIMETABLE) if leads else timedelta(seconds=SLEEP_MAX_SECONDS)
        self._leads_since = (self._leads_since or clock.now()) if leads else None
        if self._presence.is_due:
            with connection.begin():
                self._presence.report(connection, self._leads_since)
        return wait

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
