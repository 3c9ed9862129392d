"""One process in the place of one container: whether it is healthy, and how it is stopped, or made to stand still."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from running_system import eventually

from ops.processes.children import Child

HEALTHY_SECONDS = 60
# Docker's own, for a service that does not say.
STOP_GRACE_PERIOD = "10s"


def seconds(duration: str) -> float:
    """`5s`, as the file spells durations."""
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return float(found[1])


@dataclass(frozen=True)
class Container:
    """A process where there would be a container. `places`: what is its own in there → where that is here."""

    name: str
    service: Mapping[str, Any]
    environment: Mapping[str, str]
    places: Mapping[str, str]
    child: Child
    log: Path

    def is_healthy(self) -> bool:
        """Whether the health check of its service succeeds, in its environment and in the time that it has."""
        check = self.service["healthcheck"]
        kind, *words = check["test"]
        command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, check=False, timeout=seconds(check["timeout"])
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def await_health(self) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not self.is_healthy():
            assert self.child.exit_code is None and time.monotonic() < deadline, self.last_words
            time.sleep(0.3)

    def await_success(self) -> None:
        eventually(lambda: self.child.exit_code is not None, f"the end of {self.name}", HEALTHY_SECONDS)
        assert self.child.exit_code == 0, self.last_words

    @property
    def last_words(self) -> str:
        state = "runs" if self.child.exit_code is None else f"ended with {self.child.exit_code}"
        return f"{self.name} {state}, and said last:\n{self.log.read_text()[-3000:]}"

    @property
    def stop_grace_seconds(self) -> float:
        return seconds(self.service.get("stop_grace_period", STOP_GRACE_PERIOD))

    def age_heartbeat(self, age_seconds: float) -> None:
        """As if it had stood still for so long."""
        if path := self.environment.get("HEARTBEAT_FILE"):
            then = time.time() - age_seconds
            os.utime(path, (then, then))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """As `docker pause` does it."""
        os.killpg(self.child.pid, signal.SIGSTOP)
        try:
            eventually(lambda: psutil.Process(self.child.pid).status() == psutil.STATUS_STOPPED, "its standstill")
            yield
        finally:
            os.killpg(self.child.pid, signal.SIGCONT)


def stopped(containers: Iterable[Container]) -> dict[str, int | None]:
    """Ask these to stop, as Docker does; what each ended with, or None where it took longer than it is given."""
    waiting = list(containers)
    for container in waiting:
        container.child.ask_to_stop()
    asked_at, ended = time.monotonic(), {}
    while waiting:
        waited = time.monotonic() - asked_at
        for container in list(waiting):
            exit_code = container.child.exit_code
            if exit_code is not None or waited > container.stop_grace_seconds:
                ended[container.name] = exit_code
                waiting.remove(container)
        time.sleep(0.05)
    return ended
