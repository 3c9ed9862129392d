"""A database that is locked, away, without its tables, or refuses rows: what API and workers may meet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import psycopg
from world import World

from runtime import settings

Trouble = Callable[[World], AbstractContextManager[None]]
# Each of these refuses its rows, or is not there at all, as after a bug of ours; in groups
# in which no request meets two of them.
REFUSING = (
    ("users", "products", "orders", "refresh_tokens", "transition_requests"),
    ("order_items", "sessions", "outbox", "dead_letters"),
    ("order_events", "idempotency_keys"),
)
RENAMED = ("users", "products", "orders", "order_events", "dead_letters", "daily_orders", "daily_user_revenue", "nodes")


@contextmanager
def locked(world: World) -> Iterator[None]:
    with psycopg.connect(database_url()) as connection:
        connection.execute("LOCK TABLE users, orders, products, dead_letters IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def away(world: World) -> Iterator[None]:
    """Every connection is lost, and none can be made anew."""
    url, name = database_url(), database_url().rpartition("/")[2].partition("?")[0]
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


@contextmanager
def refusing(tables: Sequence[str], world: World) -> Iterator[None]:
    for name in tables:
        world.sql(f"ALTER TABLE {name} ADD CONSTRAINT locked_up CHECK (false) NOT VALID")
    try:
        yield
    finally:
        for name in tables:
            world.sql(f"ALTER TABLE {name} DROP CONSTRAINT locked_up")


@contextmanager
def renamed(world: World) -> Iterator[None]:
    for name in RENAMED:
        world.sql(f"ALTER TABLE {name} RENAME TO {name}_elsewhere")
    try:
        yield
    finally:
        for name in RENAMED:
            world.sql(f"ALTER TABLE {name}_elsewhere RENAME TO {name}")


@contextmanager
def half_of_all_moves_failing(world: World) -> Iterator[None]:
    """Not what workers do when they give an order up. PostgreSQL says what is in such a row, the reason too."""
    is_spared = "version = 1 OR to_status = 'failed' OR get_byte(uuid_send(order_id), 15) % 2 = 0"
    world.sql(f"ALTER TABLE order_events ADD CONSTRAINT locked_up CHECK ({is_spared}) NOT VALID")
    try:
        yield
    finally:
        world.sql("ALTER TABLE order_events DROP CONSTRAINT locked_up")


def database_url() -> str:
    return settings.current().database_url.get_secret_value()


TROUBLES: Sequence[Trouble] = (locked, away, *(partial(refusing, tables) for tables in REFUSING), renamed)
