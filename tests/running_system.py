"""A whole system, started as a newcomer starts it: `orders up`, with real processes on real engines."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psutil
import psycopg
from patience import patiently

STOP_SECONDS = 60


def bare_environment(**more: str) -> dict[str, str]:
    """What a newcomer's shell has; the settings of the other tests are not part of it."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ} | more


@dataclass(frozen=True)
class RunningSystem:
    """A running `orders up --json`, and what its one line says."""

    process: subprocess.Popen[str]
    data: Path
    stderr: Path
    summary: Mapping[str, Any]

    @property
    def api(self) -> str:
        return str(self.summary["api"])

    @property
    def users(self) -> Mapping[str, Mapping[str, str]]:
        users: Mapping[str, Mapping[str, str]] = self.summary["users"]
        return users

    @property
    def pids(self) -> Mapping[str, Any]:
        """role → process ids, as they were when the system had started"""
        pids: Mapping[str, Any] = self.summary["pids"]
        return pids

    @contextmanager
    def client(self, role: str) -> Iterator[httpx2.Client]:
        """A client that has logged in as the demo user of this role."""
        with httpx2.Client(base_url=self.api, timeout=30) as client:
            answer = patiently(lambda: client.post("/v1/auth/login", json=dict(self.users[role])))
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    def broker_pid(self) -> int:
        """The broker as it runs now.

        Raises:
            LookupError: it does not run at this moment.
        """
        # It is part of the name that the server gives its process.
        address = urlsplit(self.summary["broker"]).netloc.rpartition("@")[2]
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "valkey-server" and address in " ".join(process.info["cmdline"] or ()):
                return process.pid
        raise LookupError

    def sql(self, statement: str) -> list[Any]:
        with psycopg.connect(self.summary["database"], autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()


@contextmanager
def running(directory: Path, *options: str, **environment: str) -> Iterator[RunningSystem]:
    """A system with `options` and settings, up and ready; stopped properly at the end."""
    stderr = directory / "stderr"
    command = [sys.executable, "-m", "ops", "up", "--data", str(directory / "run"), "--json", "--no-demo", *options]
    with (
        stderr.open("w") as file,
        subprocess.Popen(
            command, env=bare_environment(**environment), stdout=subprocess.PIPE, stderr=file, text=True
        ) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert line, stderr.read_text()
            yield RunningSystem(process, directory / "run", stderr, json.loads(line))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def eventually(condition: Callable[[], object], what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)
