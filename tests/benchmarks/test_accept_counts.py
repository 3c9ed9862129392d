"""What an accepted order costs, in counts: the same on every machine, however busy it is."""

import os
from pathlib import Path

import psycopg

from benchmarks import callers, load, meters, stand
from benchmarks.contenders import SKUS
from benchmarks.load import Plan
from ops import seed
from runtime import settings
from runtime.database import Role

ORDERS = 640
CONNECTIONS = 64
USERS = 500
STATEMENTS_PER_ORDER_MAX = 0.5
WAL_BYTES_PER_ORDER_MAX = 6_000


def test_64_connections_share_statements_and_every_answered_order_is_there(
    clean_database: None, tmp_path: Path
) -> None:
    configuration = settings.current()
    seed.run(configuration)
    tokens = callers.sign_tokens(configuration, callers.some(USERS, of_users=USERS))
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        stand.api(os.environ, tmp_path, processes=1) as listeners,
    ):
        callers.insert_users(connection, USERS)
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        before = meters.counters(connection, Role.API)
        plan = Plan(listeners.port, "/v1/orders", tokens, SKUS, CONNECTIONS, seconds=60, orders_max=ORDERS)
        result = load.run(plan)
        spent = meters.counters(connection, Role.API) - before
        [[placed]] = connection.execute("SELECT count(*) FROM orders").fetchall()

    assert (result.statuses, result.lost) == ({"201": ORDERS}, 0), result.refusal
    assert placed == ORDERS
    assert spent.statements / ORDERS <= STATEMENTS_PER_ORDER_MAX
    assert spent.statement_wal_bytes / ORDERS <= WAL_BYTES_PER_ORDER_MAX
