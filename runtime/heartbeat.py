"""Liveness: the loop that is the heart of a process says now and then that it turns.

Whoever watches the process looks at the age of the file named by HEARTBEAT_FILE; the process itself can ask too.
`celery inspect ping` costs seconds of CPU and needs the broker; this costs nothing.
"""

import os
import time
from pathlib import Path

_beats = [float("-inf")]


def beat() -> None:
    """Say that this process is alive. Without HEARTBEAT_FILE no file is touched."""
    _beats[0] = time.monotonic()
    path = os.environ.get("HEARTBEAT_FILE")
    if path:
        Path(path).touch()


def age_seconds() -> float:
    """How long ago this process beat last; infinite before the first time."""
    return time.monotonic() - _beats[0]
