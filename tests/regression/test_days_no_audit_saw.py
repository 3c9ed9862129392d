"""An audit asked the table that it audits which days there are (25 November 2026).

`orders rollups audit --all` went from the first to the last day of daily_orders: a first or a last day that was lost
was not looked at, and of an emptied table nothing at all, with exit code 0. The timetable's audit could not meet a lost
first day either. A reviewer found it. The orders themselves say which days there are, and rows of days without orders
are wrong, too.
"""

from datetime import UTC, date, datetime, timedelta

import pytest
from explained import plans_of
from recounts import drifted
from typer.testing import CliRunner
from world import World

from models.analytics import drift
from ops import cli
from runtime import database

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
FIRST, MIDDLE, LAST = (TODAY - number * DAY for number in (6, 3, 1))
LOST = {
    "the first day": f"DELETE FROM daily_orders WHERE placed_on = '{FIRST}'",
    "the last day": f"DELETE FROM daily_orders WHERE placed_on = '{LAST}'",
    "every day": "DELETE FROM daily_orders",
    "the first day of users": f"DELETE FROM daily_user_revenue WHERE placed_on = '{FIRST}'",
}
# What stands there of days that never had an order.
MADE_UP = {
    "daily_orders": "INSERT INTO daily_orders VALUES (:day, 'EUR', 'pending', 1, 100)",
    "daily_user_revenue": "INSERT INTO daily_user_revenue SELECT :day, id, 'EUR', 1, 100 FROM users LIMIT 1",
    "monthly_user_revenue": "INSERT INTO monthly_user_revenue"
    " SELECT date_trunc('month', CAST(:day AS date)), id, 'EUR', 1, 100 FROM users LIMIT 1",
    "daily_fulfilment": "INSERT INTO daily_fulfilment VALUES (:day, 5, 1)",
}
MANY_ORDERS = """
    INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
        updated_at)
    SELECT uuidv7(), n::text, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
        updated_at
    FROM (SELECT * FROM orders LIMIT 1) AS one, generate_series(1, 100) AS n
"""


def audit(*more: str) -> int:
    return CliRunner().invoke(cli.app, ["rollups", "audit", "--all", *more]).exit_code


@pytest.fixture
def shop(world: World) -> World:
    """A delivered order on each of three days."""
    bowl, user = world.product(), world.user()
    for day in (FIRST, MIDDLE, LAST):
        placed = world.place(user, {bowl.sku: 1}).id
        at = datetime(day.year, day.month, day.day, 23, 30, tzinfo=UTC)
        world.sql("UPDATE orders SET placed_on = :day, placed_at = :at WHERE id = :id", day=day, at=at, id=placed)
        world.sql("UPDATE order_events SET placed_on = :day WHERE order_id = :id", day=day, id=placed)
    world.work_until_idle()
    world.fold()
    assert drifted(world) == []
    return world


@pytest.mark.parametrize("lost", LOST)
def test_lost_days_are_found_wherever_they_were(shop: World, lost: str) -> None:
    shop.sql(LOST[lost])
    assert audit("--dry-run") == 1
    assert audit() == 1
    assert drifted(shop) == []
    assert audit() == 0


@pytest.mark.parametrize("day", [TODAY - 100 * DAY, TODAY + 100 * DAY], ids=["before", "after"])
@pytest.mark.parametrize("table", MADE_UP)
def test_rows_of_days_without_orders_are_found(shop: World, table: str, day: date) -> None:
    shop.sql(MADE_UP[table], day=day)
    assert table in drifted(shop)
    assert audit() == 1
    assert drifted(shop) == []


@pytest.mark.parametrize("lost", ["the first day", "every day"])
def test_the_timetable_meets_a_first_day_that_was_lost(shop: World, lost: str) -> None:
    shop.sql(LOST[lost])
    with database.transaction() as connection:
        taken = {day for _ in range(200) for day in drift.days_to_audit(connection, TODAY)}
    assert FIRST in taken


@pytest.mark.parametrize("zone_days", [-1, 1])
def test_a_business_day_may_begin_in_any_zone(shop: World, zone_days: int) -> None:
    """At 23:30 in Greenwich it is another day in Kiritimati, and at 10:00 in Baker Island."""
    for table in ("orders", "order_events"):
        shop.sql(f"UPDATE {table} SET placed_on = placed_on + :days", days=zone_days)
    for table in ("daily_orders", "daily_user_revenue", "monthly_user_revenue", "daily_fulfilment"):
        shop.sql(f"DELETE FROM {table}")
    assert audit() == 1
    assert drifted(shop) == []


def test_the_days_there_are_are_known_from_indexes(shop: World) -> None:
    """In tables that are worth an index: three rows are as soon read as looked up."""
    for statement in MADE_UP.values():
        for months in range(2, 42):
            shop.sql(statement, day=LAST - months * 31 * DAY)
    shop.sql(MANY_ORDERS)
    shop.sql(f"ANALYZE orders, {', '.join(MADE_UP)}")
    with database.transaction() as connection:
        days, plans = plans_of(connection, drift.every_day)
    assert {FIRST, MIDDLE, LAST} <= set(days)
    scans = [scan for plan in plans for scan in plan.scans]
    assert {scan.table for scan in scans} == {"orders", *MADE_UP}
    assert {(scan.kind, scan.rows) for scan in scans} == {("Index Only Scan", 1)}
