"""Real Celery nodes on the test's own database, with a broker of their own, to be killed, stopped and started again."""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from world import World

from ops.local import engines
from ops.processes import ports
from ops.processes.children import Child, Process

CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")
QUIET = ("--without-gossip", "--without-mingle", "-E")
START_SECONDS = 60


@dataclass(frozen=True)
class Node:
    """One process of the pipeline."""

    name: str
    child: Child
    log: Path
    heartbeat: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def is_alive(self) -> bool:
        return self.child.exit_code is None

    @property
    def heartbeat_age(self) -> float:
        return time.time() - self.heartbeat.stat().st_mtime

    @property
    def children(self) -> list[int]:
        """The processes of its pool."""
        return [each.pid for each in psutil.Process(self.pid).children()]

    def kill(self) -> None:
        """kill -9, of the node's main process alone."""
        os.kill(self.pid, signal.SIGKILL)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it logged; lines that are no JSON come from libraries before logging is set up."""
        said = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in said if event in (None, line.get("event"))]


class Pipeline:
    """A broker, and the nodes that were started so far."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._valkey = engines.Valkey(directory / "valkey", ports.free())
        self._broker: Child | None = None
        self.start_broker()

    @property
    def broker_url(self) -> str:
        return self._valkey.url

    @property
    def broker_pid(self) -> int:
        assert self._broker is not None
        return self._broker.pid

    def start_broker(self) -> None:
        """An empty one, where the one before it was."""
        self._broker = engines.start(self._valkey)
        self._stack.callback(self._broker.kill)

    def kill_broker(self) -> None:
        assert self._broker is not None
        self._broker.kill()

    def environment(self, **more: str) -> dict[str, str]:
        ours = {"BROKER_URL": self.broker_url, "LOG_LEVEL": "INFO", "LOG_FORMAT": "json", "REMAP_SIGTERM": "SIGQUIT"}
        return {**os.environ, **ours, **more}

    def start(self, name: str, *arguments: str, **environment: str) -> Node:
        """A node under way; `ready` waits for it."""
        log, heartbeat = self._directory / f"{name}.log", self._directory / f"{name}.heartbeat"
        heartbeat.unlink(missing_ok=True)
        process = Process(name, [*CELERY, *arguments], self.environment(HEARTBEAT_FILE=str(heartbeat), **environment))
        with log.open("wb") as output:
            node = Node(name, Child(process, output), log, heartbeat)
        self._stack.callback(node.child.kill)
        return node

    def start_worker(self, name: str = "worker", *options: str, **environment: str) -> Node:
        return self.start(
            name, "worker", "-Q", "orders,rollups", "-n", f"{name}@test", "-c", "2", *QUIET, *options, **environment
        )

    def start_relay(self, name: str = "relay", **environment: str) -> Node:
        return self.start(name, "worker", "-P", "solo", "-Q", "relay", "-n", f"{name}@test", *QUIET, **environment)

    def start_beat(self, name: str = "beat", **environment: str) -> Node:
        return self.start(name, "beat", **environment)


def ready(*nodes: Node) -> None:
    deadline = time.monotonic() + START_SECONDS
    for node in nodes:
        while not node.heartbeat.exists():
            assert node.is_alive and time.monotonic() < deadline, node.log.read_text()[-4000:]
            time.sleep(0.05)


def all_delivered(world: World) -> bool:
    return world.sql("SELECT count(*) FROM orders WHERE status <> 'delivered'") == [(0,)]


def assert_every_order_went_the_whole_way_once(world: World) -> None:
    wrong = world.sql(
        "SELECT order_id FROM order_events GROUP BY order_id"
        " HAVING array_agg(to_status ORDER BY version)"
        " <> ARRAY['pending', 'confirmed', 'processing', 'shipped', 'delivered']"
    )
    assert wrong == []
    assert world.sql("SELECT count(*) FROM dead_letters") == [(0,)]


@contextmanager
def pipeline() -> Iterator[Pipeline]:
    # Not pytest's own directory: another run of pytest may remove it.
    with tempfile.TemporaryDirectory(prefix="orders-pipeline-") as directory, ExitStack() as stack:
        yield Pipeline(Path(directory), stack)
