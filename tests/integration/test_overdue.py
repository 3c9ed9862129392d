"""An entry of the timetable that does not succeed for three periods is alarmed."""

from datetime import UTC, timedelta

import pytest
from log_lines import log_of
from world import World

from models import outbox, schedule
from models.schedule import Overdue
from runtime import database
from runtime.database import Role
from schedules import ticks
from schedules.timetable import TIMETABLE

HOURLY = timedelta(hours=1)
# A beat that is driven by hand: 25 seconds pass from one turn of its loop to the next.
DRIVEN = """
from itertools import count
from schedules.scheduler import PostgresScheduler
from workers.app import app

beat = PostgresScheduler(app=app, monotonic=count(step=25).__next__)
for _ in range(12):
    beat.tick()
beat.close()
"""


def know(world: World, entry: str = "test", *, period: timedelta = HOURLY, since: timedelta = timedelta(0)) -> None:
    """The entry has been on the timetable `since` so long, and never succeeded."""
    with database.transaction() as connection:
        schedule.agree(connection, {entry: period})
    world.sql("UPDATE schedule_state SET known_since = now() - :since", since=since)


def overdue() -> list[Overdue]:
    with database.transaction(Role.API) as connection:
        return schedule.overdue(connection)


@pytest.mark.parametrize(("silent_for", "late"), [(timedelta(minutes=179), False), (timedelta(minutes=181), True)])
def test_it_is_overdue_when_its_last_success_is_older_than_three_periods(
    world: World, silent_for: timedelta, late: bool
) -> None:
    know(world, since=timedelta(days=9))
    world.sql("UPDATE schedule_state SET last_run_at = now(), last_success_at = now() - :ago", ago=silent_for)
    found = overdue()
    assert [each.entry for each in found] == ["test"] * late
    assert all(each.period == HOURLY and timedelta(0) <= each.silent_for - silent_for < HOURLY for each in found)


def test_one_that_never_succeeded_counts_from_when_it_became_known(world: World) -> None:
    know(world)
    assert overdue() == []
    know(world, since=timedelta(hours=4))
    [found] = overdue()
    assert found.last_success_at is None
    assert timedelta(hours=4) <= found.silent_for < timedelta(hours=5)


@pytest.mark.parametrize(("silent_for", "late"), [(59, False), (61, True)])
def test_one_that_runs_every_few_seconds_may_be_late_by_a_minute(world: World, silent_for: int, late: bool) -> None:
    know(world, period=timedelta(seconds=2), since=timedelta(seconds=silent_for))
    assert bool(overdue()) is late


def test_a_success_from_before_a_step_back_of_the_clock_is_no_alarm(world: World) -> None:
    know(world)
    world.sql("UPDATE schedule_state SET last_success_at = now() + interval '1 hour'")
    assert overdue() == []


def test_work_that_fails_is_no_success(world: World) -> None:
    know(world, "upkeep.prune-idempotency-keys", since=timedelta(days=1))
    world.sql("ALTER TABLE idempotency_keys RENAME TO mislaid")
    try:
        with database.transaction() as connection:
            outbox.put(connection, "upkeep.prune-idempotency-keys")
        world.work("upkeep.prune-idempotency-keys")
        assert [each.entry for each in overdue()] == ["upkeep.prune-idempotency-keys"]
    finally:
        world.sql("ALTER TABLE mislaid RENAME TO idempotency_keys")
    world.sql("UPDATE outbox SET available_at = now()")
    world.work("upkeep.prune-idempotency-keys")
    assert overdue() == []


def test_an_entry_that_left_the_timetable_is_forgotten(world: World) -> None:
    know(world, "old", since=timedelta(days=9))
    know(world, "new")
    assert overdue() == []


def test_work_on_no_timetable_succeeds_unnoted(world: World) -> None:
    with database.transaction() as connection:
        outbox.put(connection, "rollups.fold")
    world.work()
    assert world.sql("SELECT * FROM schedule_state") == []


def test_beat_says_so_once_a_minute_for_as_long_as_it_is_so(world: World) -> None:
    with database.transaction() as connection:
        ticks.tick(connection, TIMETABLE, UTC)
    world.sql("UPDATE schedule_state SET known_since = now() - interval '91 seconds' WHERE entry = 'orders.expire'")
    lines = log_of(DRIVEN)
    assert [line["event"] for line in lines] == ["the timetable is overdue"] * 4, "after 75, 150, 225 and 300 seconds"
    assert {(line["level"], line["entry"], line["period_seconds"]) for line in lines} == {
        ("warning", "orders.expire", 30.0)
    }
    assert all(line["silent_for_seconds"] >= 91 and line["last_success_at"] is None for line in lines)
