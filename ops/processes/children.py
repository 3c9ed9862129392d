"""Child processes that cannot outlive us: how one is described, started, asked to stop and made to stop.

Each child leads a session of its own, so that Ctrl-C in a terminal reaches only the parent, and so that whatever the
child started can be killed with it.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from runtime import shutdown

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The operating-system user that a child runs as where that is not our own."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Process:
    """What to run and how to tell that it is up.

    `ready` is polled and must be quick. `orphan_signal` is what the kernel sends the child when we die (Linux only).
    `stop_seconds`: so long it may take to end. `is_needed`: others use it, and it is stopped when they are gone.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Callable[[], bool] = field(default=lambda: True)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = shutdown.OTHERS_SECONDS
    is_needed: bool = False
    ready_timeout: float = 30.0
    orphan_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None


class Child:
    """One running process of ours; with `output=None` it writes to our own stdout and stderr.

    The thread that spawned it must live as long as it should (see `_tether`).
    """

    def __init__(self, process: Process, output: IO[bytes] | int | None = subprocess.PIPE) -> None:
        account = process.account
        with warnings.catch_warnings():
            # Python ≥ 3.12 warns about any preexec_fn beside threads; ours makes two system calls and takes no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._popen = subprocess.Popen(
                process.argv,
                env=process.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output is not None else None,
                start_new_session=True,
                preexec_fn=_tether(process.orphan_signal),  # noqa: PLW1509
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.process = process
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> IO[bytes] | None:
        """The pipe with the child's stdout and stderr, if it was started with one."""
        return self._popen.stdout

    @property
    def exit_code(self) -> int | None:
        """None while it runs; asking also reaps it."""
        return self._popen.poll()

    def ask_to_stop(self) -> None:
        self._popen.send_signal(self.process.stop_signal)

    def kill_group(self) -> None:
        """SIGKILL to the process and everything left in its group, without waiting (usable in a signal handler)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End the process and everything left in its group, now."""
        self.kill_group()
        self._popen.wait()

    def stop(self) -> None:
        """Ask, wait as long as it may take, then kill what is left of the group."""
        stop_together([self])

    def end_by(self, deadline: float) -> bool:
        """Wait for its end until then (by the monotonic clock), and kill what is left; whether it ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        has_ended = self.exit_code is not None
        self.kill()
        return has_ended


def stop_together(children: Sequence[Child]) -> list[Child]:
    """Ask all of them at once, and wait for as long as the slowest may take; those that had to be killed then."""
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + max((child.process.stop_seconds for child in children), default=0.0)
    return [child for child in children if not child.end_by(deadline)]


def _tether(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """Runs between fork and exec: the kernel is to signal the child when the *thread* that spawned it ends."""
    if _LIBC is None:
        return None
    libc, parent = _LIBC, os.getpid()

    def tether() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:  # the parent died before the line above took effect
            os.kill(os.getpid(), signal.SIGKILL)

    return tether
