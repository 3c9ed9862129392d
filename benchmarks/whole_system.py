"""A whole system of its own, started by `orders up`, and who of it lives at this moment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ops.failures import LocalError
from ops.local import secrets_file
from ops.local.broker_users import SUPERVISES
from ops.local.profile import Numbers
from ops.processes import ports
from runtime.settings import Settings

STOP_SECONDS = 60.0
# By which words of its command line a process of `orders up` is known.
WORDS = {"api": "serve", "worker": "orders,rollups", "relay": "relay", "beat": "beat"}


@dataclass(frozen=True)
class WholeSystem:
    """A running `orders up --json`, and what its one line says."""

    pid: int
    data: Path
    summary: Mapping[str, Any]

    @property
    def broker_supervisor(self) -> str:
        """The broker's address for the one user that may empty it: its password is in the secrets of the system."""
        password = secrets_file.load(self.data / "secrets.json").broker.supervises
        return f"redis://{SUPERVISES}:{password}@{self.summary['broker'].rpartition('@')[2]}"

    def living(self, role: str) -> list[psutil.Process]:
        """The processes of this role as they run now: `api`, `worker`, `worker child`, `relay`, `beat` or `valkey`."""
        if role == "worker child":
            return [child for worker in self.living("worker") for child in _children(worker)]
        return [process for process in _children(psutil.Process(self.pid)) if _is(process, role)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return process.children()
    return []


def _is(process: psutil.Process, role: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    if role == "valkey":  # which puts its address into its name
        return "valkey-server" in " ".join(words[:1])
    return WORDS[role] in words


@contextmanager
def running(directory: Path, numbers: Numbers, **environment: str) -> Iterator[WholeSystem]:
    """A system with default settings but for `environment`, whatever our own are; stopped properly at the end.

    Raises:
        LocalError: it did not start; with what it said.
    """
    data, stderr = directory / "run", directory / "stderr"
    command = [sys.executable, "-m", "ops", "up", "--json", "--no-demo", "--data", str(data)]
    command += ["--port", str(ports.free()), "--api-workers", str(numbers.api), "--workers", str(numbers.worker)]
    command += ["--relays", str(numbers.relay), "--beats", str(numbers.beat)]
    bare = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    with (
        stderr.open("w") as file,
        subprocess.Popen(command, env=bare | environment, stdout=subprocess.PIPE, stderr=file, text=True) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise LocalError(f"the system did not start: {stderr.read_text()}")
            yield WholeSystem(process.pid, data, json.loads(line))
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
