"""The directory that `orders up` works in (`.run`): who has it, and what runs in it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.failures import LocalError

DEFAULT = Path(".run")
# How every command that has to do with it lets people name it.
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Where the engines, secrets and the log live.")]


class InUse(LocalError):
    """Another `orders up` works in this directory."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory and keep others out while the block lasts. The kernel frees the lock however we end."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalError(
            f"the data directory {directory} cannot be used: {error.strerror}. Choose another with --data."
        ) from error
    with os.fdopen(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(_in_use(directory, file.read().strip())) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            forget(directory)


def holder(directory: Path) -> int | None:
    """The process that holds the directory now, if one does."""
    try:
        with (directory / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except OSError:
        return None
    return None


def remember(directory: Path, running: dict[str, Any]) -> None:
    """Note what runs, for commands that look for it. It holds passwords: only the owner may read it."""
    path = directory / "up.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(running, file)


def recall(directory: Path) -> dict[str, Any] | None:
    """What `remember` noted, if it still runs."""
    try:
        found = json.loads((directory / "up.json").read_text()) if holder(directory) else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def forget(directory: Path) -> None:
    (directory / "up.json").unlink(missing_ok=True)


def _in_use(directory: Path, pid: str) -> str:
    return (
        f"`orders up` already runs in {directory} (process {pid or 'unknown'}). Stop it with Ctrl-C in its terminal or "
        f"`kill {pid or 'PID'}`, or choose another directory with --data."
    )
