"""Celery's consumer, which beats while it tries to reach a lost broker, tries often enough, and lets events gather.

Celery's own waits up to half a minute between two attempts, long after the relay has sent everything again. And it
publishes the events of a task, which are for Flower, each by itself: that was a third of the node's main process.
"""

from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from runtime import heartbeat, logs
from workers.relay_step import is_relay_node

log = logs.get(__name__)

WAIT_SECONDS_MIN, WAIT_SECONDS_STEP, WAIT_SECONDS_MAX = 1, 1, 5
# A full buffer (24 events) does not wait for this.
EVENTS_GATHER_SECONDS = 0.2


class PatientConsumer(Consumer):
    """What it does between two connections, and between two messages to Flower."""

    # Celery's own; the stubs do not know them.
    hub: Any
    _flush_events: Callable[[], None]

    _events_gather = False

    def on_send_event_buffered(self) -> Any:
        """Called for each event of a task: they are published together, soon."""
        if not self._events_gather:
            self._events_gather = True
            self.hub.call_later(EVENTS_GATHER_SECONDS, self._publish_events)

    def _publish_events(self) -> None:
        self._events_gather = False
        self._flush_events()

    def ensure_connected(self, conn: Any) -> Any:
        """The same connection, connected: tried until it succeeds or the node is told to stop."""
        conn.ensure_connection(
            self._on_failure,
            interval_start=WAIT_SECONDS_MIN,
            interval_step=WAIT_SECONDS_STEP,
            interval_max=WAIT_SECONDS_MAX,
            callback=self._while_waiting,
        )
        self.first_connection_attempt = False
        return conn

    def _on_failure(self, error: Exception, seconds: float) -> None:
        self._while_waiting()
        log.warning("the broker is unreachable, trying again", error=type(error).__name__, seconds=seconds)

    def _while_waiting(self) -> None:
        """Called every second between two attempts. Raises what ends the node, if it was told to stop."""
        if not is_relay_node(self.app):
            heartbeat.beat()
        maybe_shutdown()
