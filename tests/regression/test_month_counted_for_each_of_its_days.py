"""`orders rollups audit --all` compared a month once for each of its days (25 November 2026).

Each day was a call that compared the day's month along with it. With --dry-run a wrong row of a month was found, told
and noted up to 31 times; and repaired or not, every month was read as often. A reviewer found it.
"""

import json
from datetime import date, timedelta

import pytest
from typer.testing import CliRunner
from world import World

from ops import cli

MONTH = date(2026, 3, 1)


@pytest.fixture
def shop(world: World) -> World:
    """Ten days of one month, and one of the next."""
    bowl, user = world.product(), world.user()
    for day in (*(MONTH + timedelta(days=number) for number in range(10)), date(2026, 4, 2)):
        placed = world.place(user, {bowl.sku: 1}).id
        for table, key in (("orders", "id"), ("order_events", "order_id")):
            world.sql(f"UPDATE {table} SET placed_on = :day WHERE {key} = :placed", day=day, placed=placed)
    world.work_until_idle()
    world.fold()
    return world


def test_what_is_wrong_with_a_month_is_found_once(shop: World) -> None:
    shop.sql("UPDATE monthly_user_revenue SET revenue_minor = 7")
    done = CliRunner().invoke(cli.app, ["rollups", "audit", "--all", "--dry-run", "--json"])
    report = json.loads(done.stdout)
    months = [(each["day"], each["table"], each["rows"]) for each in report["found"]]
    assert months == [("2026-03-01", "monthly_user_revenue", 1), ("2026-04-01", "monthly_user_revenue", 1)]
    assert (done.exit_code, report["drift"]) == (1, 2)
    assert shop.sql("SELECT drift FROM rollup_state") == [(2,)]


def test_a_month_is_compared_when_its_days_are_right(shop: World) -> None:
    shop.sql("DELETE FROM daily_user_revenue")
    done = CliRunner().invoke(cli.app, ["rollups", "audit", "--all", "--json"])
    report = json.loads(done.stdout)
    assert {each["table"] for each in report["found"]} == {"daily_user_revenue"}
    assert (done.exit_code, report["drift"]) == (1, 11)
