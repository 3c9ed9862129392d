"""The real command: `orders serve` as a process of its own, on the test's database, with settings of the test's own."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from ops.processes import ports
from ops.processes.children import Child, Process

START_SECONDS = 60


@dataclass(frozen=True)
class ApiProcess:
    """A running API: where it listens, and what it logs."""

    child: Child
    address: tuple[str, int]
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.child.pid).memory_info().rss)

    @property
    def open_connections(self) -> int:
        """How many clients it has now."""
        found = psutil.Process(self.child.pid).net_connections("tcp")
        return sum(each.status != psutil.CONN_LISTEN for each in found)

    def lines(self, event: str) -> list[dict[str, Any]]:
        said = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in said if line.get("event") == event]


@contextmanager
def running(directory: Path, settings: Mapping[str, str]) -> Iterator[ApiProcess]:
    port = ports.free()
    log = directory / "api.log"
    arguments = [sys.executable, "-m", "ops", "serve", "--port", str(port)]
    environment = {**os.environ, "LOG_LEVEL": "INFO", "LOG_FORMAT": "json", **settings}
    with log.open("wb") as output:
        child = Child(Process("api", arguments, environment), output.fileno())
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens((ports.LOOPBACK, port)):
            assert child.exit_code is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield ApiProcess(child, (ports.LOOPBACK, port), log)
    finally:
        child.stop()


@contextmanager
def empty_database(name: str) -> Iterator[str]:
    """The URL of a database of our own beside the test's, with nothing in it."""
    ours = os.environ["DATABASE_URL"]
    with psycopg.connect(ours, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        try:
            yield re.sub(r"/orders_\w+(?=\?)", f"/{name}", ours)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def refused(settings: Mapping[str, str]) -> str:
    """What `orders serve` says where it does not start; nothing but `settings` and the path is in its environment."""
    command = [sys.executable, "-m", "ops", "serve", "--port", str(ports.free())]
    environment = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert done.returncode == 1, (done.returncode, done.stderr)
    return done.stderr
