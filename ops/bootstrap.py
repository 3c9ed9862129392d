"""Makes `.venv` from `requirements.lock`: what `make` runs before anything else. Standard library only.

A Python as old as 3.8 gets far enough to say that 3.11 is needed. An environment half made, or moved, is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, Sequence  # noqa: UP035 - a Python 3.8 has to get as far as the message below

NEEDED = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")
TAIL_LINES = 15


class BootstrapError(Exception):
    """The environment cannot be made; the text says why and what to do."""


class Environment:
    """The `.venv` of one checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / ".venv"
        self.python = self.directory / "bin" / "python"
        self.log = self.directory / "install.log"
        self.stamp = self.directory / "bootstrap.json"
        self.unfinished = self.directory / "unfinished"

    @property
    def wanted(self) -> dict[str, str]:
        """What the stamp of a good environment says. Scripts in it hold absolute paths, so the place counts too."""
        inputs = hashlib.sha256()
        for name in ("requirements.lock", "pyproject.toml"):
            inputs.update((self.root / name).read_bytes())
        return {"inputs": inputs.hexdigest(), "root": str(self.root)}

    @property
    def found(self) -> dict[str, str]:
        try:
            stamp = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    @property
    def complete(self) -> bool:
        # A link to an interpreter that has since been removed does not "exist".
        return self.python.exists() and not self.unfinished.exists() and self.found == self.wanted

    @property
    def usable(self) -> bool:
        """Whether it can be brought up to date where it is."""
        moved = self.found.get("root", str(self.root)) != str(self.root)
        return self.python.exists() and not self.unfinished.exists() and not moved


def main(root: Path) -> None:
    """Leave a complete environment behind, or raise BootstrapError."""
    environment = Environment(root)
    if environment.complete:
        return
    _require_python()
    with _alone(root):
        if not environment.complete:
            _make(environment)


def _require_python() -> None:
    """Go on with a newer interpreter if this one is too old and another is on the PATH."""
    if sys.version_info >= NEEDED:
        return
    for name in NEWER:
        newer = shutil.which(name)
        if newer:
            os.execv(newer, [newer, "-I", str(Path(__file__).resolve())])  # noqa: S606 - a Python of the PATH, on purpose
    raise BootstrapError(too_old(sys.version_info[:2]))


def too_old(version: Sequence[int]) -> str:
    return (
        f"Python {NEEDED[0]}.{NEEDED[1]} or newer is needed; this is {version[0]}.{version[1]} and none of "
        f"{', '.join(NEWER)} is on the PATH. Install one, or name one: make PYTHON=/path/to/python3"
    )


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """`make up` and `make test` may both be the first: the second waits and finds everything made."""
    handle = os.open(str(root), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(environment: Environment) -> None:
    uv = shutil.which("uv")
    if uv:
        try:
            _install(environment, Uv(environment, uv))
            return
        except BootstrapError:
            # uv ignores pip's configuration, so it may fail where pip knows an index or a certificate.
            _say("uv could not do it; going on with pip")
    _install(environment, Pip(environment))


def _install(environment: Environment, tool: Uv | Pip) -> None:
    if not environment.usable or not tool.fits():
        shutil.rmtree(environment.directory, ignore_errors=True)
        with _step("virtual environment"):
            tool.create()
    environment.stamp.unlink(missing_ok=True)
    environment.unfinished.touch()
    with _step(f"packages from requirements.lock, with {tool.name}"):
        tool.install_locked()
    with _step("order-pipeline itself"):
        tool.install_project()
    seal(environment)


def seal(environment: Environment) -> None:
    """Note that the environment is complete, for the inputs of this moment."""
    environment.stamp.write_text(json.dumps(environment.wanted))
    environment.unfinished.unlink(missing_ok=True)


class Uv:
    """The fast way."""

    name = "uv"

    def __init__(self, environment: Environment, program: str) -> None:
        self._environment = environment
        self._program = program

    def fits(self) -> bool:
        return True

    def create(self) -> None:
        run_quietly(
            self._environment, [self._program, "venv", "--python", sys.executable, str(self._environment.directory)]
        )

    def install_locked(self) -> None:
        self._pip("sync", "--require-hashes", "requirements.lock")

    def install_project(self) -> None:
        self._pip("install", "--no-deps", "--no-build-isolation", "-e", ".")

    def _pip(self, command: str, *arguments: str) -> None:
        python = str(self._environment.python)
        run_quietly(self._environment, [self._program, "pip", command, "--python", python, *arguments])


class Pip:
    """The way that is always there."""

    name = "pip"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def fits(self) -> bool:
        """An environment that uv made has no pip."""
        return (self._environment.directory / "bin" / "pip").exists()

    def create(self) -> None:
        if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
            raise BootstrapError(no_venv_module(sys.version_info[:2]))
        run_quietly(self._environment, [sys.executable, "-I", "-m", "venv", str(self._environment.directory)])

    def install_locked(self) -> None:
        self._pip("--require-hashes", "-r", "requirements.lock")

    def install_project(self) -> None:
        self._pip("--no-deps", "--no-build-isolation", "-e", ".")

    def _pip(self, *arguments: str) -> None:
        options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        run_quietly(self._environment, [str(self._environment.python), "-m", "pip", "install", *options, *arguments])


def no_venv_module(version: Sequence[int]) -> str:
    return (
        f"this Python {version[0]}.{version[1]} comes without the modules venv and ensurepip, which make virtual "
        f"environments. On Debian and Ubuntu: apt install python3-venv"
    )


def run_quietly(environment: Environment, command: Sequence[str]) -> None:
    """Run one command quietly; its output is kept, and shown only if it fails."""
    try:
        done = subprocess.run(
            command, cwd=str(environment.root), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except OSError as error:
        raise BootstrapError(f"{command[0]} cannot be run: {error}") from error
    output = done.stdout.decode(errors="replace")
    if environment.directory.is_dir():
        with environment.log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{output}\n")
    if done.returncode != 0:
        raise BootstrapError(failed(command, output))


def failed(command: Sequence[str], output: str) -> str:
    last = "\n".join(f"    {line}" for line in output.splitlines()[-TAIL_LINES:])
    return (
        f"`{' '.join(command)}` failed:\n{last}\n"
        f"The whole output is in .venv/install.log. If a package could not be fetched, see to the network (or to pip's "
        f"configuration of index, proxy and certificates) and run the same command again."
    )


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    started_at = time.monotonic()
    yield
    _say(f"✓ {name:<50} {time.monotonic() - started_at:5.1f} s")


def _say(line: str) -> None:
    # Standard error, so that `orders up --json` behind it keeps standard output to itself.
    sys.stderr.buffer.write(f"{line}\n".encode())
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main(Path(__file__).resolve().parent.parent)
    except BootstrapError as error:
        _say(f"bootstrap: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        _say("bootstrap: interrupted; run it again and it begins anew")
        sys.exit(130)
