"""Asking somebody who may never answer: an answer that comes in time, or none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

R = TypeVar("R")


async def soon(question: Callable[[], Awaitable[R]], seconds: float) -> R:
    """The answer, if it comes within so many seconds.

    Where it does not, the asking is left to itself instead of being cancelled and awaited. To be cancelled takes its
    time: psycopg first asks the server to give up, which hangs as well, for 5 s more; and of 300 requests that found
    the broker frozen in the same moment, now and then one waited for as long, because its cancelling got lost.

    Raises:
        TimeoutError: there is none yet; besides what the question raises.
    """
    asking = asyncio.ensure_future(question())
    try:
        await asyncio.wait({asking}, timeout=max(seconds, 0.0))
    finally:
        if not asking.done():
            asking.add_done_callback(_ignore)
            asking.cancel()
    if not asking.done():
        raise TimeoutError
    return asking.result()


def _ignore(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
