"""Asking somebody who may never answer: an answer that comes in time, or none."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

R = TypeVar("R")


async def soon(
    question: Callable[[], Awaitable[R]], seconds: float, given_up: set[asyncio.Future[Any]] | None = None
) -> R:
    """The answer, if it comes within so many seconds.

    Where it does not, the asking is left to itself instead of being cancelled and awaited. To be cancelled takes its
    time: psycopg first asks the server to give up, which hangs as well, for 5 s more; and of 300 requests that found
    the broker frozen in the same moment, now and then one waited for as long, because its cancelling got lost.

    Args:
        given_up: where it is found as long as it has not ended, by whoever has to `end` it.

    Raises:
        TimeoutError: there is none yet; besides what the question raises.
    """
    asking = asyncio.ensure_future(question())
    try:
        await asyncio.wait({asking}, timeout=max(seconds, 0.0))
    finally:
        if not asking.done():
            asking.add_done_callback(_ignore)
            if given_up is not None:
                given_up.add(asking)
                asking.add_done_callback(given_up.discard)
            asking.cancel()
    if not asking.done():
        raise TimeoutError
    return asking.result()


async def end(given_up: Collection[asyncio.Future[Any]]) -> None:
    """Have all of it ended: before that which it asks is closed."""
    left = list(given_up)
    for asking in left:
        asking.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _ignore(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
