"""A plan made while a table was empty read all of it for every row that was looked up (25 November 2026).

Sessions keep the plans of their statements. On the first day, or after a night in which everything was pruned and
vacuumed, PostgreSQL believes that reading a whole table costs nothing; the statement that accepts orders then cost two
or three times as much until the tables were counted again, and so did the taking of work. A benchmark showed it, as
rounds of half the speed of others.
"""

import asyncio

import psycopg
import pytest
from sqlalchemy import text
from world import World

from api.acceptor import Acceptor, hurried_engine
from api.database import Database
from runtime import database, settings
from runtime.database import Role

ROUNDS = 12  # psycopg prepares a statement at the sixth time, PostgreSQL keeps its plan after five more
TABLES = ("idempotency_keys", "orders", "products", "outbox")


def _whole_reads() -> dict[str, int]:
    """How often each table was read whole. Sessions tell when they end."""
    with psycopg.connect(settings.current().database_url.get_secret_value(), autocommit=True) as superuser:
        superuser.execute("SELECT pg_stat_force_next_flush()")
        scans = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY(%s)"
        return dict(superuser.execute(scans, [list(TABLES)]).fetchall())


@pytest.fixture
def _empty_and_vacuumed(world: World) -> None:
    with psycopg.connect(settings.current().database_url.get_secret_value(), autocommit=True) as superuser:
        superuser.execute(f"VACUUM ANALYZE {', '.join(TABLES)}".encode())


@pytest.mark.usefixtures("_empty_and_vacuumed")
def test_accepting_orders_reads_no_table_whole(world: World) -> None:
    bowl, user = world.product(), world.user()

    async def accept() -> None:
        engine = hurried_engine(settings.current())
        hurried = Database(engine)
        acceptor = Acceptor(hurried, hurried, world.terms)
        for number in range(ROUNDS):
            requests = [world.request(user, {bowl.sku: 1}, client_reference=f"{number}-{n}") for n in range(5)]
            await asyncio.gather(*map(acceptor.accept, requests))
        await acceptor.close()
        await engine.dispose()

    before = _whole_reads()
    asyncio.run(accept())
    assert _whole_reads() == before


def test_a_worker_never_wants_to_read_a_table_whole() -> None:
    with database.transaction(Role.WORKER) as connection:
        assert connection.execute(text("SHOW enable_seqscan")).scalar_one() == "off"
