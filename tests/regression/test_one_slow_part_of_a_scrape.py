"""One slow part of a scrape said that the whole database was down (review of 25 November 2026).

The parts were read one after the other, on one connection and within one deadline: the first could use all of it. Then
`orders_database_up` was 0, none of the pipeline's gauges were there, and all alerts about them went silent.
"""

import asyncio
from collections.abc import Iterator

from sqlalchemy import Connection, text
from world import World

from api.metrics.scrape import BUDGET_SECONDS, Scrape
from models import vitals
from runtime import settings
from runtime.metrics import Sample


def read_slowly(connection: Connection) -> Iterator[Sample]:
    connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": BUDGET_SECONDS + 1})
    yield Sample(vitals.OUTBOX_DEPTH, 0, ("orders.confirm",))


def test_a_first_part_that_takes_all_the_time_leaves_the_others_theirs(world: World) -> None:
    async def read() -> dict[tuple[str, tuple[str, ...]], float]:
        scrape = Scrape.of(settings.current(), {"slow": read_slowly, **vitals.PARTS})
        try:
            return {(sample.metric.name, sample.labels): sample.value for sample in await scrape.read()}
        finally:
            await scrape.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}, "what was given up has ended"

    samples = asyncio.run(read())
    of_parts = {labels[0]: value for (name, labels), value in samples.items() if name == vitals.PART_READ.name}
    assert of_parts == {"slow": 0, "pipeline": 1, "orders": 1, "database": 1}
    assert samples[vitals.DATABASE_UP.name, ()] == 1
    assert samples[vitals.WORKERS.name, ()] == 0
