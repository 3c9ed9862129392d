"""What one bite of a sweep takes when there is very much to do: `python -m benchmarks.sweeps --rows 1000000`.

Rows are put into a fresh embedded PostgreSQL whose statistics know nothing of them, as after a sudden flood; then each
sweep takes bites, through the very verb the worker uses, in a transaction of its own each. A bite has to end within the
time limits of a worker's statement (`runtime/database.py`) and of a task (`workers/configuration.py`).
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from sqlalchemy import Connection, Engine

from benchmarks import callers
from models import expiry, redispatch, retention, stuck
from models.lifecycle import Policy
from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from ops.progress import Progress
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Confirmation, Settings

DATABASE = "orders"
# What a bite may take of the 30 s that a statement has, so that a machine three times as slow still makes it.
BITE_SECONDS_MAX = 10
MANUAL, AUTOMATIC = Policy(Confirmation.MANUAL), Policy()

_KEYS = """
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, order_id, expires_at)
    SELECT id, 'POST /v1/orders', gen_random_uuid()::text, sha256(n::text::bytea), 201,
        convert_to(repeat('x', 700), 'UTF8'), id, now() - n * interval '1 ms'
    FROM generate_series(1, %(rows)s) AS n, LATERAL (SELECT id FROM users LIMIT 1) AS u
"""
_REQUESTS = """
    INSERT INTO transition_requests (id, order_id, to_status, actor, requested_by, state, created_at, resolved_at)
    SELECT uuidv7(interval '-40 days'), o.id, 'shipped', 'staff', o.user_id, 'applied', now() - interval '40 days',
        now() - interval '40 days'
    FROM orders AS o
"""
_LETTERS = """
    INSERT INTO dead_letters (kind, error, traceback, attempts, first_at, last_at, resolved_at, resolved_by,
        resolved_how)
    SELECT 'orders.confirm', 'error', repeat('x', 1000), 8, now(), now(), now() - interval '100 days', 'somebody',
        'discarded'
    FROM generate_series(1, %(rows)s)
"""
_TOKENS = """
    INSERT INTO refresh_tokens (sha256, family, user_id, issued_at, expires_at)
    SELECT sha256(n::text::bytea), gen_random_uuid(), id, now() - interval '90 days', now() - interval '60 days'
    FROM generate_series(1, %(rows)s) AS n, LATERAL (SELECT id FROM users LIMIT 1) AS u
"""
_ORDERS = """
    INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
        due_at, updated_at)
    SELECT uuidv7(), n::text, id, 'pending', 1, 'EUR', 1000, '{}', now(), current_date,
        now() - n * interval '1 ms', now()
    FROM generate_series(1, %(rows)s) AS n, LATERAL (SELECT id FROM users LIMIT 1) AS u
"""
_WORK = """
    DELETE FROM outbox;
    INSERT INTO outbox (kind, order_id, expected_version) SELECT 'orders.confirm', id, version FROM orders
"""


@dataclass(frozen=True)
class Sweep:
    """What fills the tables, what one bite is, and how many of them are taken at most."""

    fill: str
    bite: Callable[[Connection], int]
    bites: int


@dataclass(frozen=True)
class Measured:
    did: int
    first_seconds: float
    median_seconds: float
    worst_seconds: float


def _forget(table: str) -> Callable[[Connection], int]:
    return lambda connection: retention.forget(connection, table)


def _redispatch(connection: Connection) -> int:
    return redispatch.redispatch(connection, AUTOMATIC).most


SWEEPS: Mapping[str, Sweep] = {
    "prune idempotency keys": Sweep(_KEYS, _forget("idempotency_keys"), 20),
    "prune dead letters": Sweep(_LETTERS, _forget("dead_letters"), 20),
    "prune refresh tokens": Sweep(_TOKENS, _forget("refresh_tokens"), 20),
    "report stuck orders": Sweep(_ORDERS, lambda connection: sum(s.orders for s in stuck.stuck(connection)), 5),
    "prune transition requests": Sweep(_REQUESTS, _forget("transition_requests"), 20),
    "redispatch, all work lost": Sweep("", _redispatch, 20),
    "redispatch, all work waits": Sweep(_WORK, _redispatch, 5),
    "expire orders": Sweep("", lambda connection: expiry.expire(connection, MANUAL), 20),
}


def measure(engine: Engine, sweep: Sweep) -> Measured:
    """Bites one after the other, as a worker takes them."""
    did, took = 0, []
    for _ in range(sweep.bites):
        began = time.perf_counter()
        with engine.begin() as connection:
            did += sweep.bite(connection)
        took.append(time.perf_counter() - began)
    return Measured(did, took[0], statistics.median(took), max(took))


def main(
    *,
    rows: Annotated[int, typer.Option(min=1000, help="How many there are of everything.")] = 1_000_000,
) -> None:
    """How long a bite of each sweep takes; exit code 1 if one takes too long."""
    progress, console = Progress(Console(stderr=True)), Console()
    measured = {}
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as directory:
        postgres = Postgres(Path(directory) / "postgres")
        with engines.running(postgres):
            found = _prepared(postgres)
            engine = database.engine(found, Role.WORKER)
            for name, sweep in SWEEPS.items():
                with progress.step(f"{name}, {rows:,} rows"):
                    _fill(postgres, sweep, rows)
                    measured[name] = measure(engine, sweep)
            engine.dispose()
    console.print("all rows done; then the first, the median and the worst bite")
    for name, each in measured.items():
        times = (f"{seconds * 1000:6.0f}" for seconds in (each.first_seconds, each.median_seconds, each.worst_seconds))
        console.print(f"{name:<27} rows {each.did:>9,}  ms {' '.join(times)}", soft_wrap=True)
    raise typer.Exit(int(any(each.worst_seconds > BITE_SECONDS_MAX for each in measured.values())))


def _prepared(postgres: Postgres) -> Settings:
    postgres.ensure_database(DATABASE)
    url = postgres.url(DATABASE)
    needed = {"ENVIRONMENT": "local", "BROKER_URL": "redis://localhost", "SECRET_KEY": "x" * 64}
    found = settings.read(needed | {"DATABASE_URL": url})
    migrate.run(found, lambda _: None)
    with psycopg.connect(url) as connection:
        callers.insert_users(connection, 1)
        # Nothing comes by between the flood and the sweep.
        for table in ("idempotency_keys", "transition_requests", "dead_letters", "refresh_tokens", "orders", "outbox"):
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    return found


def _fill(postgres: Postgres, sweep: Sweep, rows: int) -> None:
    with psycopg.connect(postgres.url(DATABASE)) as connection:
        for statement in filter(None, sweep.fill.split(";")):
            connection.execute(statement, {"rows": rows})


if __name__ == "__main__":
    typer.run(main)
