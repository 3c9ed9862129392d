"""The API's edge to the database."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """One call, one verb, one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def run(self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a verb in a transaction of its own, committed before this returns."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(verb, *args, **kwargs)
