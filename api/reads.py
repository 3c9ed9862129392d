"""Where lists and analytics are read: from a replica, as long as it is there and not late; else from the primary.

How late the replica is, is measured without anybody's clock: once a second, behind the requests, the primary is asked
how far its log goes and the replica how far it has got. What was not measured lately counts as late.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from api.database import Database
from api.patience import end, soon
from runtime import database, logs

log = logs.get(__name__)

P = ParamSpec("P")
R = TypeVar("R")

LOOK_SECONDS = 1
MARKS_MAX = 1_000

_WRITTEN = text("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
# Who was promoted is no replica any more: it would never be late again, and go its own way.
_REPLAYED = text("SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END")


def _written(connection: Connection) -> int:
    return int(connection.execute(_WRITTEN).scalar_one())


def _replayed(connection: Connection) -> int | None:
    position: int | None = connection.execute(_REPLAYED).scalar_one()
    return position


class Reads:
    """One call, one verb, one transaction: of a verb that only reads, and may read what was true a moment ago."""

    def __init__(
        self,
        primary: Database,
        replica: Database,
        lag_max: timedelta,
        patience: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self.replica = replica
        self._lag_max_seconds = lag_max.total_seconds()
        self._patience_seconds = patience.total_seconds()
        self._monotonic = monotonic
        self._marks: deque[tuple[float, int]] = deque(maxlen=MARKS_MAX)
        self._has_all_of: float | None = None
        self._looked_at = float("-inf")
        self._look: asyncio.Task[None] | None = None
        self._given_up: set[asyncio.Future[Any]] = set()
        self._was_used: bool | None = None

    async def run(self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        self._look_again()
        if not self._is_fresh():
            self._tell(used=False, why="late")
            return await self._primary.run(verb, *args, **kwargs)
        try:
            found = await soon(lambda: self.replica.run(verb, *args, **kwargs), self._patience_seconds, self._given_up)
        except Exception as error:
            if not _is_the_replicas_fault(error):
                raise
            self._has_all_of = None  # until somebody has looked and found it well
            self._tell(used=False, why=type(error).__name__)
            return await self._primary.run(verb, *args, **kwargs)
        self._tell(used=True)
        return found

    async def close(self) -> None:
        await end([*self._given_up, *([self._look] if self._look else [])])
        await self.replica.engine.dispose()

    def _is_fresh(self) -> bool:
        """Whether the replica is known to have everything that the primary had so long ago, and no longer."""
        return self._has_all_of is not None and self._monotonic() - self._has_all_of <= self._lag_max_seconds

    def _look_again(self) -> None:
        """No request waits for the look. One at a time: a replica that does not answer is asked once."""
        is_looking = self._look is not None and not self._look.done()
        if not is_looking and self._monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._monotonic()
            self._look = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        try:
            now = self._monotonic()
            self._marks.append((now, await self._primary.run(_written)))
            replayed = await self.replica.run(_replayed)
        except Exception as error:  # whatever it is, the replica is not known to be well
            log.info("the replica cannot be looked at", error=type(error).__name__)
            return
        while replayed is not None and self._marks and self._marks[0][1] <= replayed:
            self._has_all_of = self._marks.popleft()[0]
        if replayed is None:
            self._has_all_of = None

    def _tell(self, *, used: bool, why: str | None = None) -> None:
        """Say it when reads move to another server, and not for each of them."""
        if used is not self._was_used and not (self._was_used is None and not used):
            self._was_used = used
            tell = log.info if used else log.warning
            tell("reads go to the replica" if used else "reads go to the primary", why=why)


def _is_the_replicas_fault(error: Exception) -> bool:
    """It is gone, it hangs, or it had to choose between this query and keeping up (a recovery conflict)."""
    conflict = database.sqlstate(error) == database.SERIALIZATION_FAILURE
    return isinstance(error, TimeoutError) or conflict or database.is_unavailable(error)
