"""The gate around password hashing: as many at once as there are cores, a short queue, then 503.

Hashing costs 19 MiB and tens of milliseconds by design. The permit belongs to the thread that hashes, so a client
that hangs up frees nothing, and the event loop never hashes itself. It also never waits for those who do: their threads
take only the time that nobody else wants, and rest where others want it (docs/benchmarks.md#many-logins-at-once).
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from models import errors
from runtime import shutdown

R = TypeVar("R")

WAITING_MAX = 16
WAIT_SECONDS_MAX = 2.0
# The least there is. With 10, two hundred logins at once took more than half of the orders; with 0, seven in eight.
NICE = 19
# A priority counts among the threads of a session or a container only (sched(7), "The autogroup feature"). So a thread
# that had to wait for a processor, because others want it, rests for as long before it hashes again, up to this.
REST_SECONDS_MAX = 0.25

_thread = threading.local()


class HashingGate:
    def __init__(self) -> None:
        self._at_once = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._at_once, "hashing", initializer=_let_others_go_first)
        self._pending = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def run(self, hashing: Callable[[], R]) -> R:
        """The result of `hashing`, computed in a thread of the gate.

        Raises:
            errors.Unavailable: too many are waiting, or the queue moves too slowly.
        """
        self.expect_room()
        loop = asyncio.get_running_loop()
        self._pending += 1
        self._is_idle.clear()
        future = self._threads.submit(_rested, hashing)
        future.add_done_callback(lambda _: self._tell(loop))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), WAIT_SECONDS_MAX)
        except TimeoutError:
            raise errors.Unavailable(cause=errors.Cause.HASHING_SLOW) from None

    def expect_room(self) -> None:
        """For those who would have to do other work first.

        Raises:
            errors.Unavailable: too many are waiting.
        """
        if self._pending >= self._at_once + WAITING_MAX:
            raise errors.Unavailable(cause=errors.Cause.HASHING_FULL)

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> None:
        """Hash nothing more, and wait for what is being hashed, at most so long. The loop goes on meanwhile."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), seconds)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # it has ended before the thread, and counts no more
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._pending -= 1
        if not self._pending:
            self._is_idle.set()


def _rested(hashing: Callable[[], R]) -> R:
    """The result of `hashing`, in this thread, once it has rested from the last one."""
    time.sleep(max(0.0, getattr(_thread, "rests_until", 0.0) - time.monotonic()))
    began, spent = time.monotonic(), time.thread_time()
    try:
        return hashing()
    finally:
        ended = time.monotonic()
        waited = (ended - began) - (time.thread_time() - spent)
        _thread.rests_until = ended + min(waited, REST_SECONDS_MAX)


def _let_others_go_first() -> None:
    """Linux has a priority for each thread; elsewhere it would be that of the whole process, and is left as it is."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
