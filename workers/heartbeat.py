"""The heartbeat of a worker node: the process lives and its pool was started.

The relay's and beat's own loops touch the file themselves, so that theirs says more: the loop turns.
"""

import threading
from typing import Any

from celery import bootsteps

from runtime import heartbeat
from workers.relay_step import QUEUE as RELAY_QUEUE

EVERY_SECONDS = 2


class Heartbeat(bootsteps.StartStopStep):
    """Touches the heartbeat file while the node is up."""

    # Not the consumer: its start is the node's main loop and never returns.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.enabled = RELAY_QUEUE not in parent.app.amqp.queues.consume_from
        self._stopped = threading.Event()

    def start(self, parent: Any) -> None:
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self, parent: Any) -> None:
        self._stopped.set()

    def _run(self) -> None:
        heartbeat.beat()
        while not self._stopped.wait(EVERY_SECONDS):
            heartbeat.beat()
