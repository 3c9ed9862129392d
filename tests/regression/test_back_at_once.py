"""A client that had its answer and came back within the same turn of the event loop could wait for ever.

A writer counted as writing until its task was done, which is a moment after it had found nothing more to write. Whoever
came in that moment believed that somebody would take what they brought. With two writers this needed both to finish in
the same turn, and was never seen; with one it happened to the first client that was quick enough.
"""

import asyncio
from collections.abc import Sequence

from api.group_commit import GroupCommit


async def write(batch: Sequence[int]) -> Sequence[int]:
    return list(batch)


async def write_alone(number: int) -> int:
    return number


def test_who_comes_back_at_once_is_served() -> None:
    async def client() -> None:
        group = GroupCommit(write, write_alone, lambda error: True, writers=1)
        for number in range(3):
            assert await group.submit(number) == number

    asyncio.run(asyncio.wait_for(client(), 5))
