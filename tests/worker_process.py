"""A real Celery worker on the database of the test and a broker of its own, and messages of every sort for it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kombu import Connection, Queue
from running_system import eventually

from ops.local import engines
from ops.processes import ports

QUEUE = "orders"
STOP_SECONDS = 30


@dataclass(frozen=True)
class Worker:
    process: subprocess.Popen[bytes]
    broker: str
    stderr: Path

    def send(self, body: Any, headers: dict[str, Any] | None = None, **options: Any) -> None:
        """Put any message at all into the queue of orders."""
        with Connection(self.broker) as connection:
            declared = [Queue(QUEUE, routing_key=QUEUE)]
            connection.Producer().publish(body, headers=headers, routing_key=QUEUE, declare=declared, **options)

    def ring(self, task: str, ids: Sequence[object], **options: Any) -> None:
        """A message as the relay sends it (Celery's protocol 2)."""
        self.send([[ids], {}, {}], {"task": task, "id": "00000000-0000-4000-8000-000000000000"}, **options)


@contextmanager
def working() -> Iterator[Worker]:
    """A worker with one child, ready; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="orders-worker-") as directory:
        valkey = engines.Valkey(Path(directory) / "valkey", ports.free())
        stderr, beating = Path(directory) / "stderr", Path(directory) / "heartbeat"
        command = ["-m", "celery", "-A", "workers.app", "worker", "-Q", QUEUE, "-c", "1", "-n", "test@%h"]
        environment = os.environ | {"BROKER_URL": valkey.url, "HEARTBEAT_FILE": str(beating), "LOG_LEVEL": "INFO"}
        quiet = ("--without-gossip", "--without-mingle")
        with (
            engines.running(valkey),
            stderr.open("w") as file,
            subprocess.Popen([sys.executable, *command, *quiet], env=environment, stderr=file, stdout=file) as process,
        ):
            try:
                eventually(beating.exists, "a worker")
                yield Worker(process, valkey.url, stderr)
            finally:
                process.terminate()
                process.wait(STOP_SECONDS)
