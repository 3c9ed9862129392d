"""Two backlogs of confirmed orders that wait to be processed, ours and the tutorial's, and how fast each is worked off.

Ours begins with rows in the outbox: finding them, publishing messages and everything else is part of what is measured.
The tutorial's begins with its messages in the broker already, which is in its favour.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import psycopg

from benchmarks import nodes
from benchmarks.contenders import ORDER_TABLES
from benchmarks.load import LoadFailed
from benchmarks.stand import Stand
from benchmarks.tutorial.contender import TUTORIAL, database_url, set_up_database
from ops.processes.children import Process

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 300.0
CHILDREN = 2
WARM_UP_TASKS = 200

_CONFIRMED = """
    WITH placed AS (
        INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
            due_at, updated_at)
        SELECT uuidv7(), to_hex(n), (SELECT min(id::text)::uuid FROM users), 'confirmed', 2, 'EUR', 1000, '{}', now(),
            CAST(now() AS date), now() + interval '5 minutes', now()
        FROM generate_series(1, %s) AS n RETURNING *
    ), lines AS (
        INSERT INTO order_items (order_id, line, sku, name, quantity, unit_price_minor, placed_at)
        SELECT placed.id, line, sku, 'something', 1, 500, placed_at
        FROM placed, (VALUES (1, 'BOWL-OAK'), (2, 'CUP-ENAMEL')) AS l(line, sku)
    )
    INSERT INTO order_events (order_id, version, from_status, to_status, actor, amount_minor, currency, user_id,
        placed_on)
    SELECT id, e.version, from_status, to_status, 'system', 1000, 'EUR', user_id, placed_on
    FROM placed, (VALUES (1, NULL, 'pending'), (2, 'pending', 'confirmed')) AS e(version, from_status, to_status)
"""
_WORK = """
    INSERT INTO outbox (kind, order_id, expected_version)
    SELECT 'orders.process', id, version FROM orders ORDER BY id
"""
_THEIR_CONFIRMED = """
    INSERT INTO orders (id, user_id, status, currency, total_minor)
    SELECT gen_random_uuid(), (SELECT min(id::text)::uuid FROM users), 'confirmed', 'EUR', 1000
    FROM generate_series(1, %s) RETURNING id
"""
# Work is done roughly in sequence: what was queued last is there to the end, and is found without reading the dead.
_OUR_LAST = "SELECT EXISTS (SELECT FROM (SELECT FROM outbox ORDER BY id DESC LIMIT 1) AS last)"
_THEIR_LAST = "SELECT EXISTS (SELECT FROM orders WHERE status = 'confirmed')"


class Backlog(Protocol):
    """Orders that wait, and the processes that move them."""

    @property
    def name(self) -> str: ...

    @property
    def pids(self) -> Sequence[int]: ...

    def work_off(self, orders: int) -> float:
        """Make a backlog of so many orders and let it be worked off; returns orders per second.

        Raises:
            LoadFailed: not every order was moved.
        """


@dataclass(frozen=True)
class Ours:
    stand: Stand
    pids: Sequence[int]
    name: str = "ours"

    def work_off(self, orders: int) -> float:
        with self.stand.superuser() as connection:
            connection.execute(f"TRUNCATE {ORDER_TABLES}".encode())
            connection.execute(_CONFIRMED.encode(), [orders])
            connection.execute("VACUUM ANALYZE orders, order_items, order_events, outbox")
            connection.execute("CHECKPOINT")
            connection.execute(_WORK.encode())
            began = time.perf_counter()
            _await_end(connection, _OUR_LAST)
            seconds = time.perf_counter() - began
            moved = "SELECT count(*) FROM orders JOIN order_events AS e ON e.order_id = id AND e.version = 3"
            _expect(connection, f"{moved} WHERE status = 'processing' AND orders.version = 3", orders)
        return orders / seconds


@dataclass(frozen=True)
class Tutorial:
    stand: Stand
    pids: Sequence[int]
    name: str = TUTORIAL

    def work_off(self, orders: int) -> float:
        with self.stand.superuser(TUTORIAL) as connection:
            connection.execute("TRUNCATE orders, order_items, order_events")
            ids: list[UUID] = [row[0] for row in connection.execute(_THEIR_CONFIRMED.encode(), [orders])]
            connection.execute("VACUUM ANALYZE orders, order_events")
            connection.execute("CHECKPOINT")
            with nodes.standing_still(self.pids):
                _enqueue(self.stand, ids)
            began = time.perf_counter()
            _await_end(connection, _THEIR_LAST)
            seconds = time.perf_counter() - began
            moved = "SELECT count(*) FROM orders JOIN order_events AS e ON e.order_id = orders.id"
            _expect(connection, f"{moved} WHERE status = 'processing'", orders)
        return orders / seconds


@contextmanager
def tutorial(stood: Stand) -> Iterator[Tutorial]:
    """The tutorial's worker node, warm: as many children as ours has."""
    set_up_database(stood)
    argv = [sys.executable, "-m", "celery", "-A", "benchmarks.tutorial.pipeline", "worker", "-Q", TUTORIAL]
    argv += ["-n", "tutorial@%h", "-c", str(CHILDREN), "--without-gossip", "--without-mingle"]
    with nodes.running(stood, [Process("tutorial-worker", argv, _environment(stood))]) as [child]:
        backlog = Tutorial(stood, [child.pid])
        time.sleep(5)
        backlog.work_off(WARM_UP_TASKS)
        yield backlog


def _environment(stood: Stand) -> dict[str, str]:
    own = {"TUTORIAL_DATABASE_URL": database_url(stood, TUTORIAL), "TUTORIAL_REDIS_URL": stood.valkey.url}
    return {**stood.environment, **own}


def _enqueue(stood: Stand, order_ids: Sequence[UUID]) -> None:
    command = [sys.executable, "-m", "benchmarks.tutorial.pipeline"]
    given = json.dumps([str(order_id) for order_id in order_ids])
    done = subprocess.run(command, env=_environment(stood), input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"the tutorial's tasks could not be queued: {done.stderr.strip()}")


def _await_end(connection: psycopg.Connection, is_left: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while connection.execute(is_left.encode()).fetchone() == (True,):
        if time.monotonic() > deadline:
            raise LoadFailed(f"a backlog was not worked off within {PATIENCE_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)


def _expect(connection: psycopg.Connection, statement: str, orders: int) -> None:
    [[moved]] = connection.execute(statement.encode()).fetchall()
    if moved != orders:
        raise LoadFailed(f"{moved} of {orders} orders were moved, with their event.")
