"""How PostgreSQL finds a page of the list: along an index, without sorting, for every filter the contract allows.

Each page is really read, out of 60 000 orders, and what is asserted are rows and buffers, never seconds.
"""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import explained
import psycopg
import pytest
import sqlalchemy
from explained import Explained
from sqlalchemy import Engine, text

from benchmarks import callers, many_orders
from models import order_list
from models.lifecycle import Status
from models.order_list import FEW_STUCK, OPEN, Filter, Position
from runtime import settings

pytestmark = pytest.mark.timeout(300)

ORDERS, USERS, LIMIT = 60_000, 2_000, 21
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
END = BEGINNING + timedelta(seconds=ORDERS / 2)
BUSY, ORDINARY = callers.user_id(1), callers.user_id(8)
DEEPER_MAY_READ = 1.3
# A page that happens to begin in another leaf of the index reads that one, too.
DEPTH_SLACK = 2

STATUSES: tuple[tuple[Status, ...], ...] = (
    (),
    (Status.FAILED,),
    (Status.PENDING, Status.FAILED, Status.CANCELLED),
    (Status.SHIPPED, Status.DELIVERED, Status.SHIPPED),
)
SINCE, UNTIL = BEGINNING + timedelta(seconds=3000), END - timedelta(seconds=3000)
RANGES: tuple[tuple[datetime | None, datetime | None], ...] = (
    (None, None),
    (SINCE, None),
    (None, UNTIL),
    (SINCE, UNTIL),
)
REFERENCES = (None, "SHARED")
SKUS = (None, "POPULAR", "RARE")
# What a customer sees, and what the staff sees of one customer, is the same list.
CALLERS = (Filter(None), Filter(None, user_id=BUSY), Filter(ORDINARY))


@pytest.fixture(scope="module")
def shop() -> Iterator[Engine]:
    """A database of its own, with many orders in it."""
    url = settings.current().database_url.get_secret_value()
    name, template = f"lists_{os.getpid()}", os.environ["ORDERS_TEST_TEMPLATE_URL"]
    own = url.replace(sqlalchemy.make_url(url).database or "", name)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {sqlalchemy.make_url(template).database}".encode())
        with psycopg.connect(own) as connection:
            many_orders.insert(connection, ORDERS, USERS)
        with psycopg.connect(own, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE orders, order_items")
        engine = sqlalchemy.create_engine(own.replace("postgresql:", "postgresql+psycopg:"))
        yield engine
        engine.dispose()
        server.execute(f"DROP DATABASE {name}".encode())


@dataclass(frozen=True)
class Ask:
    """One combination, with what a reader needs to find it again."""

    narrowed: Filter
    after: Position | None
    newest_first: bool

    def explain(self, engine: Engine) -> Explained:
        return explained.page(engine, self.narrowed, self.after, LIMIT, newest_first=self.newest_first)


def combinations(caller: Filter, *, newest_first: bool) -> Iterator[Ask]:
    """Every combination of filters, from the beginning and from the middle."""
    middle = Position(BEGINNING + timedelta(seconds=ORDERS / 4), UUID(int=0))
    for statuses, (since, until), reference, sku, stuck, after in itertools.product(
        STATUSES, RANGES, REFERENCES, SKUS, (None, True, False), (None, middle)
    ):
        narrowed = replace(
            caller,
            statuses=statuses,
            placed_at_min=since,
            placed_at_max=until,
            client_reference=reference,
            sku=sku,
            stuck=stuck,
        )
        yield Ask(narrowed, after, newest_first)


class Counted:
    """How many orders there are of each kind: the bounds that the table in models/order_list.py gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[str, Any], int] = {}
        self.stuck = self.of("status = ANY(:value) AND due_at <= now()", list(OPEN))

    def of(self, condition: str, value: Any) -> int:
        key = (condition, str(value))
        if key not in self._known:
            with self._engine.connect() as connection:
                query = text(f"SELECT count(*) FROM orders WHERE {condition}")
                self._known[key] = connection.execute(
                    query, {"value": value} if ":value" in condition else {}
                ).scalar_one()
        return self._known[key]

    def bound(self, narrowed: Filter) -> int:
        """How many rows of orders a page may read: the page, and what its leading index cannot tell apart."""
        has_sku, has_stuck = narrowed.sku is not None, narrowed.stuck is not None
        is_checked = bool(narrowed.statuses) or has_sku or has_stuck
        if narrowed.client_reference and narrowed.person:
            return 1
        if narrowed.client_reference or narrowed.person:
            column, value = ("user_id", narrowed.person) if narrowed.person else ("client_reference", "SHARED")
            return max(LIMIT, self.of(f"{column} = :value", value) if is_checked else 0)
        if narrowed.stuck:
            return 2 * FEW_STUCK
        if has_sku and narrowed.statuses and Status.DELIVERED not in narrowed.statuses:
            return max(LIMIT, self.of("status = ANY(:value)", list(narrowed.statuses)))
        if has_sku:
            others = self.of("id IN (SELECT order_id FROM order_items WHERE sku = :value)", narrowed.sku)
            return max(LIMIT, others if narrowed.statuses or has_stuck else 0)
        return LIMIT * max(len(set(narrowed.statuses)), 1) + (self.stuck if has_stuck else 0)


@pytest.fixture(scope="module")
def counted(shop: Engine) -> Counted:
    return Counted(shop)


def objections(ask: Ask, read: Explained, bound: int) -> Iterator[str]:
    kinds = set().union(*(plan.kinds for plan in read.plans))
    if unwanted := kinds & {"Sort", "Incremental Sort", "Seq Scan"}:
        yield f"has {sorted(unwanted)}"
    is_whole_list = ask.after is None and replace(ask.narrowed, stuck=None) == Filter(None)
    if not is_whole_list and not all(scan.has_condition for scan in read.scans if scan.table == "orders"):
        yield "reads orders without an index condition"
    if read.checked() > bound:
        yield f"reads {read.checked()} orders, and {bound} would do"


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("caller", CALLERS, ids=["staff", "staff of a busy owner", "ordinary owner"])
def test_every_combination_of_filters_is_an_index_scan_without_a_sort(
    shop: Engine, counted: Counted, caller: Filter, newest_first: bool
) -> None:
    found = []
    for ask in combinations(caller, newest_first=newest_first):
        read = ask.explain(shop)
        found += [
            (what, ask, [plan.statement for plan in read.plans])
            for what in objections(ask, read, counted.bound(ask.narrowed))
        ]
    assert not found, f"{len(found)}: {[each[:2] for each in found[:: max(len(found) // 4, 1)]]}"


def position_of(shop: Engine, narrowed: Filter, depth: int, *, newest_first: bool) -> Position:
    """Where a reader is after `depth` orders."""
    with shop.connect() as connection:
        found = order_list.page(connection, narrowed, None, depth, newest_first)
    return Position(found[-1].placed_at, found[-1].id)


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    ("narrowed", "depth"),
    [
        (Filter(None), 50_000),
        (Filter(None, placed_at_min=SINCE, placed_at_max=UNTIL), 40_000),
        (Filter(None, statuses=(Status.DELIVERED,), placed_at_min=SINCE, placed_at_max=UNTIL), 40_000),
        (Filter(None, sku="POPULAR", placed_at_min=SINCE, placed_at_max=UNTIL), 20_000),
        (Filter(BUSY, placed_at_min=SINCE, placed_at_max=UNTIL), 15_000),
    ],
)
def test_a_deep_page_reads_no_more_than_the_first(
    shop: Engine, narrowed: Filter, depth: int, newest_first: bool
) -> None:
    after = position_of(shop, narrowed, depth, newest_first=newest_first)
    first = explained.page(shop, narrowed, None, LIMIT, newest_first=newest_first)
    deep = explained.page(shop, narrowed, after, LIMIT, newest_first=newest_first)
    assert len(first.found) == len(deep.found) == LIMIT
    assert deep.buffers <= DEEPER_MAY_READ * first.buffers + DEPTH_SLACK


def test_when_many_orders_are_stuck_they_are_found_along_their_statuses(shop: Engine) -> None:
    with shop.begin() as connection:
        connection.execute(text("UPDATE orders SET due_at = now() - interval '1 day' WHERE due_at IS NOT NULL"))
        connection.execute(text("ANALYZE orders"))
    read = explained.page(shop, Filter(None, stuck=True), None, LIMIT, newest_first=True)
    assert len(read.found) == LIMIT
    assert not set().union(*(plan.kinds for plan in read.plans)) & {"Sort", "Seq Scan"}
    assert read.checked() <= FEW_STUCK + 1 + LIMIT * len(OPEN)
