"""What an API process holds for as long as it runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from api.hashing import HashingGate
from api.tokens import Tokens
from api.views import AnswerRenderer
from models import signing_keys
from models.acceptance import Terms
from models.lifecycle import Policy
from runtime import database
from runtime.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """The API's edge to the database: one call, one verb, one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def run(self, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a verb in a transaction of its own, committed before this returns."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(verb, *args, **kwargs)


@dataclass(frozen=True)
class Services:
    settings: Settings
    database: Database
    tokens: Tokens
    hashing: HashingGate
    terms: Terms


async def start(settings: Settings) -> Services:
    """Open what an API process needs; it needs the database for it, and nothing else."""
    api_database = Database(database.async_engine(settings, database.Role.API))
    keys = await api_database.run(signing_keys.load, settings)
    return Services(
        settings=settings,
        database=api_database,
        tokens=Tokens(settings, keys),
        hashing=HashingGate(),
        terms=Terms(Policy.of(settings), settings.zone, AnswerRenderer()),
    )


async def stop(services: Services) -> None:
    services.hashing.close()
    await services.database.engine.dispose()
