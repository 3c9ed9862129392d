"""The gate around password hashing: as many at once as there are cores, a short queue, then 503.

Hashing costs 19 MiB and tens of milliseconds by design. The permit belongs to the thread that hashes, so a client
that hangs up frees nothing, and the event loop never hashes itself.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from models import errors

R = TypeVar("R")

WAITING_MAX = 16
WAIT_SECONDS_MAX = 2.0


class HashingGate:
    def __init__(self) -> None:
        self._at_once = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="hashing")
        self._pending = 0

    async def run(self, hashing: Callable[[], R]) -> R:
        """The result of `hashing`, computed in a thread of the gate.

        Raises:
            errors.Unavailable: too many are waiting, or the queue moves too slowly.
        """
        if self._pending >= self._at_once + WAITING_MAX:
            raise errors.Unavailable
        loop = asyncio.get_running_loop()
        self._pending += 1
        future = self._threads.submit(hashing)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), WAIT_SECONDS_MAX)
        except TimeoutError:
            raise errors.Unavailable from None

    def _release(self) -> None:
        self._pending -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
