"""The audit: drift is found, counted, told and repaired, whichever aggregate it is in."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from explained import plans_of
from log_lines import log_of_task
from recounts import RECOUNTS, drifted
from typer.testing import CliRunner
from world import World

from models.analytics import drift
from ops import cli
from runtime import database

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - DAY
LONG_AGO = TODAY - 400 * DAY
SPOILED = {
    "daily_orders": "UPDATE daily_orders SET orders = orders + 1 WHERE status = 'delivered' AND placed_on = :day",
    "daily_user_revenue": "DELETE FROM daily_user_revenue WHERE placed_on = :day",
    "monthly_user_revenue": "UPDATE monthly_user_revenue SET revenue_minor = 7"
    " WHERE month = date_trunc('month', CAST(:day AS date))",
    "daily_fulfilment": "UPDATE daily_fulfilment SET bucket = bucket + 1 WHERE placed_on = :day",
}


def place_on(world: World, *days: date) -> None:
    """Three delivered orders on each of these days."""
    bowl, user = world.product(), world.user()
    for day in days:
        placed = [world.place(user, {bowl.sku: 1}).id for _ in range(3)]
        for table, key in (("orders", "id"), ("order_events", "order_id")):
            world.sql(f"UPDATE {table} SET placed_on = :day WHERE {key} = ANY(:placed)", day=day, placed=placed)
    world.work_until_idle()
    world.fold()


def audit(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli.app, ["rollups", "audit", "--json", *arguments])
    return done.exit_code, json.loads(done.stdout)


def tick(world: World) -> None:
    """What the timetable asks for, done by a worker."""
    world.sql("INSERT INTO outbox (kind) VALUES ('rollups.audit')")
    assert world.work("rollups.audit") == 1


def state(world: World) -> tuple[int, bool, bool]:
    """The drift that the last audit found; whether there was one; whether one ever found any."""
    [row] = world.sql("SELECT drift, audited_at IS NOT NULL, drifted_at IS NOT NULL FROM rollup_state")
    return tuple(row)


@pytest.fixture(autouse=True)
def _never_audited(world: World) -> None:
    world.sql("UPDATE rollup_state SET audited_at = NULL, drifted_at = NULL")


@pytest.mark.parametrize("table", SPOILED)
def test_drift_is_counted_and_repaired_in_every_aggregate(world: World, table: str) -> None:
    place_on(world, YESTERDAY)
    world.sql(SPOILED[table], day=YESTERDAY)
    assert table in drifted(world)
    tick(world)
    drift_found, *_ = state(world)
    assert drift_found > 0
    assert drifted(world) == []
    tick(world)
    assert state(world) == (0, True, True)


def test_drift_is_told(world: World) -> None:
    place_on(world, YESTERDAY)
    world.sql(SPOILED["daily_orders"], day=YESTERDAY)
    [line] = log_of_task("rollups.audit")
    assert (line["event"], line["level"]) == ("the rollups had drifted", "error")
    assert (line["day"], line["table"], line["rows"]) == (str(YESTERDAY), "daily_orders", 1)


def test_a_day_without_drift_after_one_with_it_does_not_hide_it(world: World) -> None:
    place_on(world, YESTERDAY - DAY, YESTERDAY)
    world.sql(SPOILED["daily_orders"], day=YESTERDAY - DAY)
    assert audit("--all")[0] == 1
    assert state(world) == (1, True, True)


def test_every_aggregate_is_audited() -> None:
    assert SPOILED.keys() == RECOUNTS.keys()


def test_yesterday_and_any_other_day_are_taken(world: World) -> None:
    place_on(world, LONG_AGO, TODAY)
    with database.transaction() as connection:
        taken = [drift.days_to_audit(connection, TODAY) for _ in range(60)]
    assert {days[0] for days in taken} == {YESTERDAY}
    others = {days[1] for days in taken}
    assert len(others) > 30
    assert min(others) >= LONG_AGO and max(others) < YESTERDAY


def test_a_system_without_a_past_has_nothing_to_repair(world: World) -> None:
    tick(world)
    assert state(world) == (0, True, False)
    assert audit("--all") == (0, {"days": [], "drift": 0, "found": [], "repaired": True})


def test_what_is_not_folded_yet_is_no_drift(world: World) -> None:
    place_on(world, TODAY)
    world.place(world.user(), {world.product().sku: 1})
    assert audit("--day", str(TODAY))[0] == 0


def test_a_day_that_was_lost_altogether_is_found_by_the_command(world: World) -> None:
    days = [TODAY - number * DAY for number in range(3)]
    place_on(world, *days)
    world.sql("DELETE FROM daily_orders WHERE placed_on = :day", day=days[1])
    code, report = audit("--all", "--dry-run")
    assert code == 1
    assert {str(day) for day in days} <= set(report["days"])
    wrong = [{"day": str(days[1]), "table": "daily_orders", "rows": 1}]
    assert (report["drift"], report["found"], report["repaired"]) == (1, wrong, False)
    assert drifted(world) == ["daily_orders"], "a dry run repairs nothing"
    assert audit("--day", str(days[1]))[0] == 1
    assert drifted(world) == []
    assert audit("--all")[0] == 0


def test_the_command_says_what_it_did(world: World) -> None:
    place_on(world, YESTERDAY)
    invoked = CliRunner().invoke(cli.app, ["rollups", "audit"])
    assert (invoked.exit_code, invoked.stdout) == (0, "1 days compared with a recount: no drift\n")
    world.sql(SPOILED["daily_fulfilment"], day=YESTERDAY)
    invoked = CliRunner().invoke(cli.app, ["rollups", "audit"])
    assert invoked.exit_code == 1
    assert f"{YESTERDAY} daily_fulfilment: " in invoked.stdout and "wrong, repaired" in invoked.stdout
    both = CliRunner().invoke(cli.app, ["rollups", "audit", "--all", "--day", str(TODAY)])
    assert "not both" in str(both.exception)


def test_an_audit_reads_the_events_of_its_day_and_no_others(world: World) -> None:
    world.user()
    world.sql(
        """
        WITH placed AS (
            INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at,
                placed_on, updated_at)
            SELECT uuidv7(), n::text, users.id, 'pending', 1, 'EUR', 1, '{}', now(), DATE '2026-01-01' + n / 300,
                now()
            FROM users, generate_series(0, 29999) AS n RETURNING *
        )
        INSERT INTO order_events (order_id, version, to_status, actor, amount_minor, currency, user_id, placed_on)
        SELECT id, 1, 'pending', 'owner', 1, 'EUR', user_id, placed_on FROM placed ORDER BY placed_on
        """
    )
    world.fold()
    world.sql("SELECT brin_summarize_new_values('ix_order_events_placed_on')")
    world.sql("ANALYZE order_events")
    with database.transaction() as connection:
        found, plans = plans_of(connection, drift.audit, [date(2026, 2, 1)])
    assert found == []
    scans = [scan for plan in plans for scan in plan.scans if scan.table == "order_events" and scan.rows]
    assert scans, "the day has events"
    assert {scan.kind for scan in scans} == {"Bitmap Heap Scan"}
    assert max(scan.rows for scan in scans) == 300
