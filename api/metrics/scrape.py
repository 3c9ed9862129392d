"""How a scrape reads what SQL can tell: on connections of its own, within a time that no scrape outlasts.

What cannot be read is left out, and said to be: a scrape never fails because the database does. A reading is good for
half a second: whoever asks more often costs the database no more.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from api.database import Database
from api.patience import end, soon
from models import vitals
from runtime import database, logs
from runtime.metrics import Sample
from runtime.settings import Settings

log = logs.get(__name__)

# Prometheus gives a scrape 10 s, and asks every 15.
BUDGET_SECONDS = 3.0
GOOD_FOR_SECONDS = 0.5
LOCK_TIMEOUT = timedelta(seconds=1)

Part = Callable[[Connection], Iterator[Sample]]


class Scrape:
    def __init__(self, own: Database, parts: Mapping[str, Part]) -> None:
        self._database = own
        self._parts = parts
        self._turn = asyncio.Lock()
        self._read_at = float("-inf")
        self._samples: list[Sample] = []
        self._given_up: set[asyncio.Future[Any]] = set()

    @classmethod
    def of(cls, settings: Settings, parts: Mapping[str, Part] = vitals.PARTS) -> "Scrape":
        engine = database.autocommitting_engine(settings, database.Role.API, len(parts), LOCK_TIMEOUT)
        return cls(Database(engine), parts)

    async def read(self) -> Sequence[Sample]:
        """What the database says now, or why it says nothing."""
        async with self._turn:
            if time.monotonic() - self._read_at >= GOOD_FOR_SECONDS:
                # At once, on a connection each: one that takes all the time leaves the others theirs.
                parts = await asyncio.gather(*map(self._part, self._parts))
                self._samples = [sample for part in parts for sample in part]
                is_up = any(sample.metric is not vitals.PART_READ for sample in self._samples)
                self._samples.append(Sample(vitals.DATABASE_UP, float(is_up)))
                self._read_at = time.monotonic()
            return self._samples

    async def close(self) -> None:
        await end(self._given_up)
        await self._database.engine.dispose()

    async def _part(self, part: str) -> Sequence[Sample]:
        try:
            read = await soon(lambda: self._read(part), BUDGET_SECONDS, self._given_up)
        except (SQLAlchemyError, TimeoutError, OSError) as error:
            log.warning("a scrape lacks a part", part=part, **database.cause_in_words(error))
            return [Sample(vitals.PART_READ, 0, (part,))]
        return [*read, Sample(vitals.PART_READ, 1, (part,))]

    async def _read(self, part: str) -> Sequence[Sample]:
        """Anew, where the connection turns out to have died since the last scrape."""
        try:
            return await self._database.run(_all, self._parts[part])
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return await self._database.run(_all, self._parts[part])


def _all(connection: Connection, read: Part) -> list[Sample]:
    return list(read(connection))
