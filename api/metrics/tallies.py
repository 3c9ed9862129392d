"""Numbers in memory that the API processes of one port share: whichever of them is asked can tell those of all.

Each process adds to a file of its own, mapped into memory: an addition takes 0.1 µs, no lock and no call, and what was
counted survives a kill -9. A file is never removed by its process: what was counted stays counted, and a sum never
shrinks, because to Prometheus that would be a restart (docs/decisions/0030-counts-in-shared-memory.md).
"""

import fcntl
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime import logs

log = logs.get(__name__)

SLOTS = 16_384
BYTES = SLOTS * 8
SUFFIX = ".tally"
# Numbers that find no place any more end here, and nobody reads them.
WASTE_SLOTS = 64


@dataclass(frozen=True)
class Tally:
    """The numbers of one series in one process; that process may be gone."""

    metric: str
    labels: tuple[str, ...]
    numbers: tuple[float, ...]
    is_alive: bool


class Tallies:
    """The numbers of this process, in `slots`; without a directory, nobody else sees them."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._path: Path | None = None
        self._file = -1
        if directory is not None:
            self._path, self._file = _own_file(directory)
        self.slots: memoryview[float] = memoryview(mmap.mmap(self._file, BYTES)).cast("d")
        self._series: list[bytes] = []
        self._next = WASTE_SLOTS

    def begin(self, metric: str, labels: tuple[str, ...] = (), size: int = 1) -> int:
        """A place in `slots` for a new series of so many numbers: the first of them."""
        start = self._next
        if start + size > SLOTS:
            if not self._next > SLOTS:
                log.warning("there is no room to count this", metric=metric)
                self._next = SLOTS + 1
            return 0
        self._next = start + size
        line = json.dumps([metric, labels, start, size]).encode() + b"\n"
        self._series.append(line)
        if self._path:
            os.write(self._file, line)
        return start

    def close(self) -> None:
        """This process counts no more; what it has counted stays."""
        if self._path:
            fcntl.flock(self._file, fcntl.LOCK_UN)  # the mapping holds the file open, and would hold the lock
            os.close(self._file)

    def all(self) -> Iterator[Tally]:
        """Every series of every process that shares this directory, those of processes that are gone too."""
        yield from _read(self.slots, self._series, is_alive=True)
        for path in sorted(self._directory.glob(f"*{SUFFIX}")) if self._directory else ():
            if path != self._path:
                yield from _read_file(path)


def _own_file(directory: Path) -> tuple[Path, int]:
    """A new file, locked for as long as this process lives; what is written to it goes behind the numbers."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file, name = tempfile.mkstemp(SUFFIX, f"{os.getpid()}-", directory)
    fcntl.flock(file, fcntl.LOCK_EX)
    os.ftruncate(file, BYTES)
    os.lseek(file, 0, os.SEEK_END)
    return Path(name), file


def _read_file(path: Path) -> Iterator[Tally]:
    with path.open("rb") as file:
        content = file.read()
        is_alive = _is_locked(file.fileno())
    if len(content) >= BYTES:
        whole_lines = content[BYTES:].rpartition(b"\n")[0].splitlines()
        yield from _read(memoryview(content)[:BYTES].cast("d"), whole_lines, is_alive=is_alive)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _read(slots: "memoryview[float]", lines: list[bytes], *, is_alive: bool) -> Iterator[Tally]:
    for line in lines:
        metric, labels, start, size = json.loads(line)
        yield Tally(metric, tuple(labels), tuple(slots[start : start + size]), is_alive)
