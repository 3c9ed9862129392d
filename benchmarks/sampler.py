"""One API process that looks at its own stack every few milliseconds of CPU time.

A sampling profiler of forty lines, because the usual ones do not fit: cProfile charges every call and loses its place
when SQLAlchemy switches greenlets, and others would be one more dependency. C code is charged to the Python function
that called it. The kernel's tick (usually 4 ms) is the finest interval there is.
"""

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from ops import serve
from ops.processes import ports

INTERVAL_SECONDS = 0.001

# What is between a stack's functions, and between a function's file and name, in the written form.
FRAMES, PARTS = ";", "|"

_stacks: Counter[tuple[str, ...]] = Counter()


def _look(_signal: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(f"{frame.f_code.co_filename}{PARTS}{frame.f_code.co_qualname}")
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _begin(_signal: int, _frame: FrameType | None) -> None:
    """Start-up and imports are over: look from now on."""
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)


if __name__ == "__main__":
    port, out = int(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGPROF, _look)
    signal.signal(signal.SIGUSR1, _begin)
    serve.run(ports.LOOPBACK, port, 1, share_port=True)
    signal.setitimer(signal.ITIMER_PROF, 0)
    out.write_text(json.dumps({FRAMES.join(stack): number for stack, number in _stacks.items()}))
