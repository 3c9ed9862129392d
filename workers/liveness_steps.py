"""How a worker node shows that it is alive: its consumer's loop beats, and its row in `nodes` follows that beat.

The loop is what fetches messages, so a worker whose loop hangs falls silent, however lively its process is. While the
broker is away there is no loop; then the attempts to reach it beat (`workers/patient_consumer.py`). A relay node's file
and row are its relay's own affair.
"""

import threading
from typing import Any

from celery import bootsteps

from models.nodes import NodeRole
from runtime import database, heartbeat, logs, shutdown
from workers.presence import REPORT_SECONDS, Presence
from workers.relay_step import is_relay_node

log = logs.get(__name__)

EVERY_SECONDS = 2
# An attempt to reach a broker that hangs takes up to 7 s (workers/configuration.py): no beat in between is no death.
SILENT_SECONDS = 20


class LoopBeat(bootsteps.StartStopStep):
    """Beats from a timer of the consumer's own event loop."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = not is_relay_node(parent.app)
        self._entry: Any = None

    def start(self, parent: Any) -> None:
        heartbeat.beat()
        self._entry = parent.timer.call_repeatedly(EVERY_SECONDS, heartbeat.beat)

    def stop(self, parent: Any) -> None:
        if self._entry is not None:
            parent.timer.cancel(self._entry)
            self._entry = None


class PresenceStep(bootsteps.StartStopStep):
    """Keeps the worker's row in `nodes`, in a thread: a database that hangs must not hold up the consumer's loop."""

    # Not the consumer: its start is the node's main loop and never returns.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = not is_relay_node(parent.app)
        self._presence = Presence(str(parent.hostname), NodeRole.WORKER)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self, parent: Any) -> None:
        self._thread.start()

    def stop(self, parent: Any) -> None:
        self._stopped.set()
        self._thread.join(shutdown.PRESENCE_SECONDS)

    # A soft shutdown ends with this one.
    terminate = stop

    def _run(self) -> None:
        while not self._stopped.is_set():
            is_alive = heartbeat.age_seconds() < SILENT_SECONDS
            if is_alive:
                self._in_transaction(self._presence.report)
            self._stopped.wait(REPORT_SECONDS if is_alive else EVERY_SECONDS / 10)
        self._in_transaction(self._presence.leave)

    def _in_transaction(self, said: Any) -> None:
        try:
            with database.transaction() as connection:
                said(connection)
        except Exception as error:
            log.warning("the database does not hear this worker", error=type(error).__name__)
