"""Secrets that are kept in files: `SECRET_KEY_FILE` names one that holds what `SECRET_KEY` would.

Unlike a variable, a file is not passed on to every child, and does not show in what describes a process.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = ("database_url", "database_read_url", "broker_url", "secret_key", "metrics_token")
SUFFIX = "_file"
BYTES_MAX = 64 * 1024


def read_all(given: Mapping[str, Any], *, strictly: bool) -> dict[str, Any]:
    """The settings that are given, with what is in the files that some of them name.

    Args:
        strictly: refuse a file that everybody on the machine can read.

    Raises:
        ValueError: a file cannot be read, or should not be readable; the message names the setting only.
    """
    files = {name: Path(path) for name in NAMES if (path := given.get(name + SUFFIX))}
    for name in files:
        if given.get(name):
            raise ValueError(f"{name.upper()} and {_setting(name)} are both set; keep one of them")
    return {**given, **{name: _content(_setting(name), path, strictly) for name, path in files.items()}}


def _setting(name: str) -> str:
    return f"{name}{SUFFIX}".upper()


def _content(setting: str, path: Path, strictly: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{setting} cannot be read: {error.strerror}") from None
    if strictly and mode & stat.S_IROTH:
        raise ValueError(f"{setting} can be read by everybody on this machine: chmod o-rwx it")
    try:
        return content[:BYTES_MAX].decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{setting} is not text") from None
