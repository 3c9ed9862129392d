"""The relay as a part of its own Celery node (`relay@host`), so that ops see it in Flower beside the workers.

Any number of nodes may run; the one that holds a PostgreSQL advisory lock leads. The lock belongs to the very
connection that polls: whoever loses the connection has lost the lead, without being told.
"""

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import Celery, bootsteps
from sqlalchemy import Connection, text

from models import outbox
from models.nodes import NodeRole
from runtime import clock, database, heartbeat, logs, settings, shutdown
from workers.back_off import BackOff
from workers.backlog_count import BacklogCount
from workers.bell import CeleryBell
from workers.presence import Presence
from workers.relay import BATCH_MAX, BrokerUnreachable, Relay

log = logs.get(__name__)

QUEUE = "relay"
LEADER_LOCK = 7_160_502
POLL_SECONDS = 0.01
# The more there was, the longer it pays to wait for more: a batch of ten costs nearly as much as one of a hundred.
FULL_POLL_SECONDS = 0.1
IDLE_POLL_SECONDS = 0.05
IDLE_AFTER_POLLS = 500
STANDBY_POLL_SECONDS = 0.5
# How long to leave broker or database alone after a failure: twice as long each time, within these bounds.
TROUBLE_SECONDS_MIN, TROUBLE_SECONDS_MAX = 0.5, 5.0


def is_relay_node(app: Celery) -> bool:
    """Whether the node that this app runs in is a relay: it consumes the queue of that name, in which nothing comes."""
    return QUEUE in app.amqp.queues.consume_from


def pause_after(dispatched: int) -> float:
    """How many seconds to let work gather after a turn that found so many rows."""
    return POLL_SECONDS + (FULL_POLL_SECONDS - POLL_SECONDS) * min(dispatched / BATCH_MAX, 1)


class RelayStep(bootsteps.StartStopStep):
    """Runs the relay's loop in a thread of the node that consumes the queue `relay`."""

    # Not the consumer: its start is the node's main loop and never returns.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = is_relay_node(parent.app)
        parent.relay = self if self.enabled else None
        self.facts: Mapping[str, object] = {"leads": False}
        self._stopped = threading.Event()
        self._bell = CeleryBell(parent.app)
        self._back_off = BackOff(TROUBLE_SECONDS_MIN, TROUBLE_SECONDS_MAX)
        self._backlog = BacklogCount()
        self._presence = Presence(str(parent.hostname), NodeRole.RELAY)
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self, parent: Any) -> None:
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._stopped.set()
        self._thread.join(shutdown.RELAY_SECONDS)

    # A soft shutdown ends with this one.
    terminate = stop

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with database.session() as connection:
                    self._stand_by(connection)
            except BrokerUnreachable as error:
                self._rest("the broker is unreachable; work waits in the outbox", error)
            except Exception as error:
                self._rest("the relay stumbles and starts again", error)

    def _rest(self, what: str, error: Exception) -> None:
        seconds = self._back_off.after_failure()
        cause = database.cause_in_words(error.__cause__ or error)
        log.warning(what, **cause, seconds=seconds, exc_info=not _is_expected(error))
        self._pause(seconds)

    def _stand_by(self, connection: Connection) -> None:
        """Wait for the lead, then keep it until told to stop or until something fails."""
        while not self._stopped.is_set():
            if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADER_LOCK}).scalar_one():
                log.info("this relay leads")
                try:
                    self._lead(connection)
                finally:
                    self.facts = {"leads": False}
                    # A pooled connection outlives this loop; the lock must not.
                    connection.invalidate()
                return
            # What waits is counted by the one that leads.
            if self._presence.is_due:
                self._presence.report(connection)
            self._pause(STANDBY_POLL_SECONDS)
        self._presence.leave(connection)

    def _lead(self, connection: Connection) -> None:
        relay = Relay(self._bell, settings.current().lease)
        outbox.read_along_indexes(connection)
        since, idle_polls = clock.now(), 0
        while not self._stopped.is_set():
            # Before the turn: with the broker away, every turn ends the lead, and this must be heard all the same.
            self._report(connection, since, {"broker_reachable": self._bell.is_reachable, **relay.counts})
            dispatched = relay.turn(connection)
            self._back_off.after_success()
            idle_polls = 0 if dispatched else idle_polls + 1
            self._pause(pause_after(dispatched) if idle_polls < IDLE_AFTER_POLLS else IDLE_POLL_SECONDS)
        self._presence.leave(connection)

    def _report(self, connection: Connection, since: datetime, counts: Mapping[str, object]) -> None:
        """Every few seconds, say for `celery inspect relay` and in `nodes` what there is to say."""
        if not self._presence.is_due:
            return
        facts = {**self._backlog.facts(connection), **counts}
        self._presence.report(connection, since, facts)
        self.facts = {"leads": True, "since": since.isoformat(), **facts}

    def _pause(self, seconds: float) -> None:
        heartbeat.beat()
        self._stopped.wait(seconds)


def _is_expected(error: Exception) -> bool:
    return isinstance(error, BrokerUnreachable) or database.is_unavailable(error)
