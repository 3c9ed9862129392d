"""Days of 23 and 25 hours: an order has the day of New York on which it was placed, and keeps it for ever."""

import os
import platform
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from beat_processes import faketime
from recounts import drifted
from world import World

from models import analytics, user_revenue
from models.advance import Step
from models.lifecycle import Actor, Status
from models.windows import Window
from runtime import clock, database
from runtime.database import Role

NEW_YORK = ZoneInfo("America/New_York")
MARCH, NOVEMBER = date(2026, 3, 8), date(2026, 11, 1)
HOURS = {MARCH: 23, NOVEMBER: 25}
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
has_faketime = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libfaketime comes for Linux on x86-64 only"
)
# A process that accepts one order, with the zone of its settings, at whatever time its clock shows.
PLACE = """
from dataclasses import replace
from types import SimpleNamespace
from uuid import UUID
from world import World
from runtime import settings

world = World()
user = SimpleNamespace(id=UUID("{user}"))
request = world.request(user, {{"BOWL": 1}}, key="{key}")
[answer] = world.accept(request, terms=replace(world.terms, zone=settings.current().zone))
print(answer.order_id)
"""


def midnight(day: date) -> datetime:
    """When a day begins in New York, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def place_at(world: World, user: object, moment: datetime) -> None:
    """Place an order in a process whose clock shows this moment."""
    environment = {
        **os.environ,
        "REPORTING_TZ": "America/New_York",
        "LD_PRELOAD": str(faketime()),
        "FAKETIME": f"@{moment:%Y-%m-%d %H:%M:%S}",
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(["tests", "."]),
    }
    code = PLACE.format(user=user, key=moment.isoformat())
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize("day", HOURS, ids=str)
def test_days_on_which_clocks_change_begin_and_end_at_midnight_in_new_york(day: date) -> None:
    begin, end = midnight(day), midnight(day + DAY)
    assert end - begin == timedelta(hours=HOURS[day])
    edges = [clock.business_day(at, NEW_YORK) for at in (begin - MOMENT, begin, end - MOMENT, end)]
    assert edges == [day - DAY, day, day, day + DAY]
    inside = [begin + timedelta(minutes=minutes) for minutes in range(0, HOURS[day] * 60, 10)]
    assert {clock.business_day(at, NEW_YORK) for at in inside} == {day}


@has_faketime
@pytest.mark.parametrize("day", HOURS, ids=str)
def test_orders_around_both_midnights_are_counted_on_their_day(world: World, day: date) -> None:
    user = world.user()
    world.product("BOWL")
    # Some seconds pass while the process starts.
    for moment in (midnight(day) - timedelta(seconds=30), midnight(day), midnight(day + DAY)):
        place_at(world, user.id, moment)
    place_at(world, user.id, midnight(day + DAY) - timedelta(minutes=30))
    world.work_until_idle()
    world.fold()
    window = Window(day - DAY, day + DAY)
    with database.transaction(Role.API) as connection:
        _, days = analytics.orders_per_day(connection, window, None, exact=False)
        _, spent = user_revenue.spending(connection, user.id, window, None, exact=False)
    expected = [(day - DAY, 1), (day, 2), (day + DAY, 1)]
    assert [(each.day, each.orders) for each in days] == [(each.day, each.orders) for each in spent] == expected
    assert drifted(world) == []


def test_a_year_old_order_that_is_cancelled_late_leaves_its_own_day_month_and_spending(world: World) -> None:
    bowl, user = world.product(price_minor=500), world.user()
    kept, order = (world.place(user, {bowl.sku: 1}) for _ in range(2))
    long_ago = datetime.now(UTC).date() - timedelta(days=365)
    for table in ("orders", "order_events"):
        world.sql(f"UPDATE {table} SET placed_on = :day", day=long_ago)
    world.work("orders.confirm")
    world.fold()
    world.move(Step(order.id, 2, Status.CONFIRMED, Status.CANCELLED, Actor.STAFF))
    before = Window(long_ago, long_ago)
    for exact in (True, False):
        if not exact:
            world.fold()
        with database.transaction(Role.API) as connection:
            _, [day] = analytics.orders_per_day(connection, before, None, exact)
            _, [spent] = user_revenue.spending(connection, user.id, before, None, exact)
        assert (day.day, day.orders, day.revenue_minor) == (long_ago, 2, 500)
        assert (spent.day, spent.orders, spent.revenue_minor) == (long_ago, 1, 500)
    assert drifted(world) == []
    assert world.status(kept.id) is Status.CONFIRMED
