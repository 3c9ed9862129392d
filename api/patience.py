"""Asking somebody who may never answer: an answer that comes in time, or none."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeVar

R = TypeVar("R")

# To be cancelled once makes psycopg ask the server to give up, which may hang for 10 s; the second time it lets go.
CANCEL_TIMES = 5
CANCEL_SECONDS = 0.1


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


async def end(given_up: Iterable[asyncio.Future[Any]]) -> None:
    """Have all of it ended, before that which it asks is closed; within half a second, whatever it waits for."""
    left = {asking for asking in given_up if not asking.done()}
    for asking in left:
        asking.add_done_callback(_ignore)
    for _ in range(CANCEL_TIMES):
        if not left:
            return
        for asking in left:
            asking.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)


async def finish(under_way: Collection[asyncio.Future[Any]], seconds: float) -> int:
    """Wait for what is under way, at most so long. What is not done by then is ended, and counted."""
    if not under_way:
        return 0
    _, left = await asyncio.wait(under_way, timeout=max(seconds, 0.0))
    await end(left)
    return len(left)


def _ignore(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
