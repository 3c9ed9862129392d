"""The second yardstick, set up and played: two processes of the tutorial app on a database of their own."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import jwt
from redis import Redis
from sqlalchemy import create_engine, insert

from benchmarks import callers, load, stand
from benchmarks.contenders import SKUS, Played
from benchmarks.load import Plan
from benchmarks.stand import Listeners, Stand
from benchmarks.tutorial.models import Base, Product, User
from ops.seed import CATALOGUE, CURRENCY

TUTORIAL = "tutorial"
PROCESSES = 2
TOKEN_SECONDS = 24 * 3600
STARTED_LINE = b'"POST /orders HTTP/1.1" 201'


@dataclass(frozen=True)
class Tutorial:
    stand: Stand
    listeners: Listeners
    tokens: Sequence[str]
    connections: int
    name: str = TUTORIAL
    database: str = TUTORIAL
    role: str = TUTORIAL

    @property
    def groups(self) -> Mapping[str, Sequence[int]]:
        return {"app": self.listeners.pids, "valkey": [self.stand.valkey_pid]}

    def clear(self) -> None:
        with self.stand.superuser(self.database) as connection:
            connection.execute("TRUNCATE orders, order_items")
        with Redis.from_url(self.stand.valkey.supervisor_url) as valkey:
            valkey.flushall()

    def play(self, seconds: float) -> Played:
        before = self.listeners.lines_with(STARTED_LINE)
        result = load.run(Plan(self.listeners.port, "/orders", self.tokens, SKUS, self.connections, seconds))
        result.expect_only_accepted()
        after = self.listeners.lines_with(STARTED_LINE)
        split = [late - early for early, late in zip(before, after, strict=True)]
        return Played(result.accepted, result.seconds, result.p50_ms, result.p99_ms, result.cpu_seconds, split)


@contextmanager
def tutorial(stood: Stand, tokens_count: int, connections: int) -> Iterator[Tutorial]:
    secret = secrets.token_hex(32)
    environment = {
        **stood.environment,
        "TUTORIAL_DATABASE_URL": database_url(stood, TUTORIAL),
        "TUTORIAL_REDIS_URL": stood.valkey.url,
        "TUTORIAL_SECRET_KEY": secret,
    }
    set_up_database(stood)
    numbers = callers.some(tokens_count, stood.users)
    tokens = [_token(callers.user_id(number), secret) for number in numbers]
    with stand.modules("benchmarks.tutorial", environment, stood.directory, PROCESSES) as listeners:
        yield Tutorial(stood, listeners, tokens, connections)


def _token(user_id: UUID, secret: str) -> str:
    return jwt.encode({"sub": str(user_id), "exp": int(time.time()) + TOKEN_SECONDS}, secret, "HS256")


def set_up_database(stood: Stand) -> None:
    with stood.superuser() as connection:
        connection.execute(f"CREATE ROLE {TUTORIAL} LOGIN".encode())
        connection.execute(f"CREATE DATABASE {TUTORIAL} OWNER {TUTORIAL}".encode())
    engine = create_engine(database_url(stood, TUTORIAL))
    products = [
        {"sku": sku, "name": name, "price_minor": price, "currency": CURRENCY} for sku, name, price in CATALOGUE
    ]
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(insert(Product), products)
        users = [
            {"id": callers.user_id(number), "email": f"customer-{number}@example.com"}
            for number in range(1, stood.users + 1)
        ]
        connection.execute(insert(User), users)
    engine.dispose()
    with stood.superuser(TUTORIAL) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("VACUUM ANALYZE users")


def database_url(stood: Stand, user: str) -> str:
    return stood.postgres.url(TUTORIAL, user).replace("postgresql://", "postgresql+psycopg://")
