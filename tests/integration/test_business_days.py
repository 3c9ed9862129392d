"""Days of 23 and 25 hours: an order has the day of New York on which it was placed, and keeps it for ever."""

import os
import platform
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from beat_processes import faketime
from recounts import drifted
from world import World

from models.advance import Step
from models.analytics import daily_figures, user_revenue
from models.analytics.windows import Window
from models.lifecycle import Actor, Status
from runtime import clock, database
from runtime.database import Role

NEW_YORK = ZoneInfo("America/New_York")
MARCH, NOVEMBER = date(2026, 3, 8), date(2026, 11, 1)
HOURS = {MARCH: 23, NOVEMBER: 25}
DAY, MOMENT = timedelta(days=1), timedelta(microseconds=1)
has_faketime = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libfaketime comes for Linux on x86-64 only"
)
# A process that accepts orders, with the zone of its settings, while its clock stands at one moment after the other.
PLACE = """
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID
from world import World
from runtime import settings

world = World()
user, clock, *moments = sys.argv[1:]
for moment in moments:
    Path(clock).write_text(moment)
    request = world.request(SimpleNamespace(id=UUID(user)), {"BOWL": 1}, key=moment)
    [answer] = world.accept(request, terms=replace(world.terms, zone=settings.current().zone))
    assert answer.order_id
"""


def midnight(day: date) -> datetime:
    """When a day begins in New York, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def place_at(user: object, clock: Path, moments: list[datetime]) -> None:
    """Place an order at each of these moments, as the clock of the process that accepts it shows them."""
    spelled = [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in moments]
    clock.write_text(spelled[0])
    environment = {
        **os.environ,
        "REPORTING_TZ": "America/New_York",
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(["tests", "."]),
    }
    subprocess.run([sys.executable, "-c", PLACE, str(user), str(clock), *spelled], env=environment, check=True)


@pytest.mark.parametrize("day", HOURS, ids=str)
def test_days_on_which_clocks_change_begin_and_end_at_midnight_in_new_york(day: date) -> None:
    begin, end = midnight(day), midnight(day + DAY)
    assert end - begin == timedelta(hours=HOURS[day])
    edges = [clock.business_day(at, NEW_YORK) for at in (begin - MOMENT, begin, end - MOMENT, end)]
    assert edges == [day - DAY, day, day, day + DAY]
    inside = [begin + timedelta(minutes=minutes) for minutes in range(0, HOURS[day] * 60, 10)]
    assert {clock.business_day(at, NEW_YORK) for at in inside} == {day}


@has_faketime
def test_orders_around_the_midnights_of_such_days_are_counted_on_their_day(world: World, tmp_path: Path) -> None:
    user = world.user()
    world.product("BOWL")
    second = timedelta(seconds=1)
    edges = [(midnight(day), midnight(day + DAY)) for day in HOURS]
    moments = [at for begin, end in edges for at in (begin - second, begin, end - second, end)]
    place_at(user.id, tmp_path / "clock", moments)
    world.work_until_idle()
    world.fold()
    for day in HOURS:
        window = Window(day - DAY, day + DAY)
        with database.transaction(Role.API) as connection:
            _, days = daily_figures.orders_per_day(connection, window, None, exact=False)
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
            _, [day] = daily_figures.orders_per_day(connection, before, None, exact)
            _, [spent] = user_revenue.spending(connection, user.id, before, None, exact)
        assert (day.day, day.orders, day.revenue_minor) == (long_ago, 2, 500)
        assert (spent.day, spent.orders, spent.revenue_minor) == (long_ago, 1, 500)
    assert drifted(world) == []
    assert world.status(kept.id) is Status.CONFIRMED
