"""`orders_acceptor_waiting` stayed up when nobody waited any more (review of 25 November 2026).

It was set when an order came and when a batch was taken. When orders that had been written alone were done, and when an
order found no place in the queue, nothing set it: until the next order came, the dashboard showed a queue.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from world import World

from api.acceptor import WAITING_MAX, Acceptor, hurried_engine
from api.database import Database
from api.metrics.measures import WAITING, Measures
from models import errors
from models.acceptance import Request
from runtime import settings


def shown(measures: Measures) -> Sequence[float]:
    return next(tally.numbers for tally in measures.tallies.all() if tally.metric == WAITING.name)


@asynccontextmanager
async def opened(world: World, measures: Measures, waiting_max: int = WAITING_MAX) -> AsyncIterator[Acceptor]:
    hurried = hurried_engine(settings.current())
    acceptor = Acceptor(Database(hurried), Database(hurried), world.terms, measures, waiting_max)
    yield acceptor
    await acceptor.close()
    await hurried.dispose()


def test_when_orders_that_were_written_alone_are_done_nobody_waits(world: World) -> None:
    bowl, user, measures = world.product(), world.user(), Measures()
    nobodys = replace(world.request(user, {bowl.sku: 1}), user_id=uuid4())  # the foreign key refuses: each goes alone
    requests: list[Request] = [*(world.request(user, {bowl.sku: 1}) for _ in range(5)), nobodys]

    async def place() -> None:
        async with opened(world, measures) as acceptor:
            placed = asyncio.gather(*map(acceptor.accept, requests), return_exceptions=True)
            await asyncio.sleep(0)
            assert list(shown(measures)) == [6]
            assert isinstance((await placed)[-1], IntegrityError)

    asyncio.run(place())
    assert list(shown(measures)) == [0]


def test_who_finds_no_place_does_not_wait(world: World) -> None:
    bowl, user, measures = world.product(), world.user(), Measures()

    async def place() -> None:
        async with opened(world, measures, waiting_max=0) as acceptor:
            with pytest.raises(errors.Unavailable):
                await acceptor.accept(world.request(user, {bowl.sku: 1}))

    asyncio.run(place())
    assert list(shown(measures)) == [0]
