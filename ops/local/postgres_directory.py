"""A PostgreSQL data directory: made whole or not at all, refused when it is not ours, free of other servers."""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import psutil

from ops.failures import EngineError
from ops.local import system_user
from ops.processes.children import Account

MAJOR = "18"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES_MAX = 100  # the kernel's limit is 104 on macOS and 108 on Linux
LEAVING_SECONDS = 3.0


def binaries() -> Path:
    """Where `postgres`, `psql`, `pgbench` and their like lie."""
    return system_user.installation() / "pginstall" / "bin"


def prepare(directory: Path, account: Account | None, *, durable: bool) -> None:
    """Leave an initialised directory of our version behind that no server works on.

    Raises:
        EngineError: saying what stands in the way and what to do.
    """
    try:
        _refuse_foreign(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        if not (directory / "PG_VERSION").exists():
            _initialise(directory, account, durable=durable)
        elif account:
            system_user.let_in(directory)
        _await_departure(directory)
    except PermissionError as error:
        raise EngineError(
            f"{error.filename} is not accessible to this user (uid {os.geteuid()}). It may have been made by another "
            f"user, for example with sudo: run as that user, remove it, or choose another data directory."
        ) from error


def socket_directory(directory: Path) -> Path:
    """Where the server's socket lies: in the data directory if that path is short enough for a socket."""
    if len(os.fsencode(directory / SOCKET_NAME)) < SOCKET_PATH_BYTES_MAX:
        return directory
    return Path(tempfile.gettempdir()) / f"orders-{sha256(os.fsencode(directory)).hexdigest()[:16]}"


def make_socket_directory(path: Path, account: Account | None) -> None:
    """The engine trusts whoever can open its socket, so the directory must be its owner's alone."""
    owner = account.uid if account else os.geteuid()
    if not path.exists():
        path.mkdir(mode=0o700)
        _give(path, account)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
        raise EngineError(
            f"{path} should be a private directory of uid {owner} and is not: somebody else made it. Remove it."
        )


def _refuse_foreign(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise EngineError(f"{directory} is not a directory; choose another data directory.")
    version = directory / "PG_VERSION"
    if version.exists():
        _refuse_version(directory, version.read_text().strip())
    elif any(directory.iterdir()):
        raise EngineError(
            f"{directory} is not empty and is not a PostgreSQL data directory, so nothing was done to it; "
            f"choose another data directory or empty this one."
        )


def _refuse_version(directory: Path, version: str) -> None:
    if version != MAJOR:
        raise EngineError(
            f"{directory} was made by PostgreSQL {version} and this is PostgreSQL {MAJOR}; choose another data "
            f"directory, or carry the data over with pg_dump of the old version and psql of the new one."
        )


def _initialise(directory: Path, account: Account | None, *, durable: bool) -> None:
    """Made aside and moved into place: an interrupted initdb leaves PG_VERSION behind, which looks complete."""
    fresh = directory.with_name(directory.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _give(fresh, account)
    if account:
        system_user.let_in(fresh)
    _initdb(fresh, account, durable=durable)
    fresh.rename(directory)


def _initdb(directory: Path, account: Account | None, *, durable: bool) -> None:
    done = subprocess.run(
        [
            binaries() / "initdb",
            f"--pgdata={directory}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        ],
        capture_output=True,
        text=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        check=False,
    )
    if done.returncode != 0:
        raise EngineError(f"initdb could not make {directory}: {done.stderr.strip() or done.stdout.strip()}")


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid)


def _await_departure(directory: Path) -> None:
    """A server whose parent was killed is shutting down by itself; one that stays belongs to somebody."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while tenants := list(_tenants(directory)):
        if time.monotonic() > deadline:
            raise EngineError(
                f"a PostgreSQL server already runs on {directory} (process {min(tenants)}); stop it with "
                f"`kill -INT {min(tenants)}`, or choose another data directory."
            )
        time.sleep(0.05)
    _forget_reused_pid(directory)


def _tenants(directory: Path) -> Iterator[int]:
    """Servers and their children work inside their data directory: that is surer than any pid file."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            try:
                if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == directory:
                    yield process.pid
            except (psutil.Error, OSError):
                continue


def _forget_reused_pid(directory: Path) -> None:
    """After a kill or a reboot the recorded pid may by now be some other program's, and postgres would refuse to start.

    Only then are the files removed: with a dead pid postgres looks at them itself, and more thoroughly.
    """
    record = directory / "postmaster.pid"
    if record.exists() and psutil.pid_exists(int(record.read_text().split("\n", 1)[0] or 0)):
        record.unlink()
        (socket_directory(directory) / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
