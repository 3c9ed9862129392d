"""Real `celery beat` processes on the test's database, and what they leave in it."""

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from world import World

from schedules.scheduler import LEADER_LOCK

COMMAND = (sys.executable, "-m", "celery", "-A", "workers.app", "beat")
START_SECONDS = 60
STOP_SECONDS = 20


@dataclass(frozen=True)
class Beat:
    """One process, in a directory of its own that it has no business writing to."""

    process: subprocess.Popen[bytes]
    directory: Path
    log: Path

    @property
    def is_ticking(self) -> bool:
        """Whether the scheduler's loop has turned, leading or not."""
        return (self.log.parent / "heartbeat").exists()


@contextmanager
def beat(directory: Path, **environment: str) -> Iterator[Beat]:
    """A beat with these settings on top of the test's; killed at the end, if it still runs."""
    cwd, log = directory / "cwd", directory / "log"
    cwd.mkdir(parents=True)
    # The tests' own broker is not even named to it.
    own = {"HEARTBEAT_FILE": str(directory / "heartbeat"), "LOG_FORMAT": "json", "BROKER_URL": "redis://127.0.0.1:1/0"}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            COMMAND, cwd=cwd, env={**os.environ, **own, **environment}, stdout=file, stderr=file, start_new_session=True
        ) as process,
    ):
        try:
            yield Beat(process, cwd, log)
        finally:
            process.kill()
            process.wait(STOP_SECONDS)


def leader(world: World) -> int | None:
    """PostgreSQL's process for the beat that leads."""
    rows = world.sql(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = :lock AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        lock=LEADER_LOCK,
    )
    return rows[0].pid if rows else None


def take_ticks(world: World) -> Counter[str]:
    """The ticks that are waiting, which so are done: kind → how many."""
    rows = world.sql("DELETE FROM outbox WHERE order_id IS NULL RETURNING kind")
    return Counter(row.kind for row in rows)


def ticks_for(world: World, seconds: float) -> Counter[str]:
    """All ticks of a while, each done at once."""
    taken: Counter[str] = Counter()
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        taken += take_ticks(world)
        time.sleep(0.05)
    return taken


def faketime() -> Path:
    """The library that, preloaded, gives a process a clock of its own."""
    found = importlib.util.find_spec("libfaketime")
    assert found and found.origin
    return Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
