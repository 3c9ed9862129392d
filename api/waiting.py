"""Long polls: looking again until something has happened, or the caller's patience is over."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runtime import shutdown

FIRST_PAUSE_SECONDS = 0.02
PAUSE_SECONDS_MAX = 0.25

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], happened: Callable[[T], bool], seconds: float) -> T:
    """What `look` sees as soon as it satisfies `happened`; or when `seconds` are over, or we have to stop."""
    ends_at = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    seen = await look()
    while not happened(seen) and time.monotonic() < ends_at and not shutdown.has_begun():
        await asyncio.sleep(min(pause, max(ends_at - time.monotonic(), 0)))
        pause = min(pause * 2, PAUSE_SECONDS_MAX)
        seen = await look()
    return seen
