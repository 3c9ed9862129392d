"""The relay as a part of its own Celery node (`relay@host`), so that ops see it in Flower beside the workers.

Any number of nodes may run; the one that holds a PostgreSQL advisory lock leads. The lock belongs to the very
connection that polls: whoever loses the connection has lost the lead, without being told.
"""

import threading
from collections.abc import Sequence
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery, bootsteps
from kombu.exceptions import OperationalError as BrokerUnreachable
from sqlalchemy import Connection, text

from models.lifecycle import Policy
from runtime import database, heartbeat, logs, settings
from workers.relay import BATCH_MAX, Batch, Relay

log = logs.get(__name__)

QUEUE = "relay"
LEADER_LOCK = 7_160_502
POLL_SECONDS = 0.01
# The more there was, the longer it pays to wait for more: a batch of ten costs nearly as much as one of a hundred.
FULL_POLL_SECONDS = 0.1
IDLE_POLL_SECONDS = 0.05
IDLE_AFTER_POLLS = 500
STANDBY_POLL_SECONDS = 0.5
TROUBLE_PAUSE_SECONDS = 1.0
STOP_SECONDS = 10


def pause_after(dispatched: int) -> float:
    """How many seconds to let work gather after a turn that found so many rows."""
    return POLL_SECONDS + (FULL_POLL_SECONDS - POLL_SECONDS) * min(dispatched / BATCH_MAX, 1)


class CeleryBell:
    """Rings by publishing to Celery's queues, all messages of a turn in one round trip."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def queue(self, kind: str) -> str:
        return str(self._app.amqp.router.route({}, kind)["queue"].name)

    def ring(self, batches: Sequence[Batch]) -> None:
        producer: Any  # the stubs do not know `batch` yet
        with self._app.producer_pool.acquire(block=True) as producer, producer.batch():
            for batch in batches:
                self._app.send_task(
                    batch.kind,
                    args=[list(batch.ids)],
                    argsrepr=f"({len(batch.ids)} rows)",
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )

    def waiting(self, queue: str) -> int:
        with self._app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except ChannelError:  # To Redis an empty list does not exist.
                return 0


class RelayStep(bootsteps.StartStopStep):
    """Runs the relay's loop in a thread of the node that consumes the queue `relay`."""

    # Not the consumer: its start is the node's main loop and never returns.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = QUEUE in parent.app.amqp.queues.consume_from
        self._stopped = threading.Event()
        self._app: Celery = parent.app
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self, parent: Any) -> None:
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._stopped.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with database.session() as connection:
                    self._stand_by(connection)
            except BrokerUnreachable as error:
                log.warning("the broker is unreachable; work waits in the outbox", error=type(error).__name__)
                self._pause(TROUBLE_PAUSE_SECONDS)
            except Exception as error:
                log.exception("the relay stumbles and starts again", error=type(error).__name__)
                self._pause(TROUBLE_PAUSE_SECONDS)

    def _stand_by(self, connection: Connection) -> None:
        """Wait for the lead, then keep it until told to stop or until something fails."""
        while not self._stopped.is_set():
            if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADER_LOCK}).scalar_one():
                log.info("this relay leads")
                try:
                    self._lead(connection)
                finally:
                    # A pooled connection outlives this loop; the lock must not.
                    connection.invalidate()
                return
            self._pause(STANDBY_POLL_SECONDS)

    def _lead(self, connection: Connection) -> None:
        configured = settings.current()
        relay = Relay(CeleryBell(self._app), Policy.of(configured), configured.lease, configured.max_attempts)
        idle_polls = 0
        while not self._stopped.is_set():
            dispatched = relay.turn(connection)
            idle_polls = 0 if dispatched else idle_polls + 1
            self._pause(pause_after(dispatched) if idle_polls < IDLE_AFTER_POLLS else IDLE_POLL_SECONDS)

    def _pause(self, seconds: float) -> None:
        heartbeat.beat()
        self._stopped.wait(seconds)
