"""The scheduler behind `celery beat`: ticks are rows, one beat leads, and nothing but PostgreSQL is needed."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from world import World

from models import schedule
from runtime import database, settings
from schedules import ticks
from schedules.cadences import Daily
from schedules.scheduler import PostgresScheduler
from schedules.timetable import TIMETABLE
from workers.app import app

TAKE_OVER_SECONDS = 2
KINDS = sorted(entry.kind for entry in TIMETABLE)


def waiting(world: World) -> list[str]:
    return sorted(row[0] for row in world.sql("SELECT kind FROM outbox"))


def tick() -> float:
    with database.transaction() as connection:
        return ticks.tick(connection, TIMETABLE, UTC).total_seconds()


def cut_advisory_lock_holders() -> None:
    with psycopg.connect(settings.current().database_url.get_secret_value()) as administrator:
        administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


@pytest.fixture
def beats() -> Iterator[tuple[PostgresScheduler, PostgresScheduler]]:
    first, second = PostgresScheduler(app=app), PostgresScheduler(app=app)
    yield first, second
    first.close()
    second.close()


def test_a_new_system_runs_everything_at_once(world: World) -> None:
    tick()
    assert waiting(world) == KINDS


def test_beat_sleeps_until_the_shortest_period_is_over(world: World) -> None:
    assert 0 < tick() <= min(entry.every.period for entry in TIMETABLE).total_seconds()


def test_a_tick_that_was_not_done_yet_is_not_queued_twice(world: World) -> None:
    tick()
    world.sql("UPDATE schedule_state SET last_run_at = now() - interval '1 day'")
    tick()
    assert waiting(world) == KINDS


def test_missed_periods_are_made_good_once(world: World) -> None:
    tick()
    world.work_until_idle()
    world.sql("UPDATE schedule_state SET last_run_at = now() - interval '3 days'")
    tick()
    assert waiting(world) == KINDS
    world.work_until_idle()
    tick()
    assert waiting(world) == []


def test_a_last_run_in_the_future_does_not_stop_the_timetable(world: World) -> None:
    tick()
    world.work_until_idle()
    world.sql("UPDATE schedule_state SET last_run_at = now() + interval '1 hour'")
    tick()
    assert waiting(world) == KINDS


def test_a_tick_that_a_stepped_clock_left_in_the_future_is_done_now(world: World) -> None:
    """The database's clock went back by an hour while a tick was waiting for a worker."""
    tick()
    world.sql("UPDATE schedule_state SET last_run_at = now() + interval '1 hour'")
    world.sql("UPDATE outbox SET available_at = now() + interval '1 hour'")
    assert world.due() == []
    tick()
    assert sorted(row.kind for row in world.due()) == KINDS


def test_after_a_step_back_the_periods_are_the_usual_ones_again(world: World) -> None:
    tick()
    world.sql("UPDATE schedule_state SET last_run_at = now() + interval '1 hour'")
    world.sql("DELETE FROM outbox")
    tick()
    world.work_until_idle()
    assert 0 < tick() <= min(entry.every.period for entry in TIMETABLE).total_seconds()
    assert waiting(world) == [], "once, and not with every tick"


def test_the_database_knows_the_entries_of_the_timetable_and_their_periods(world: World) -> None:
    world.sql("INSERT INTO schedule_state (entry, period) VALUES ('has.left', '1 s'), ('rollups.fold', '1 year')")
    tick()
    with database.transaction() as connection:
        _, known = schedule.known(connection)
    assert {kind: entry.period for kind, entry in known.items()} == {
        entry.kind: entry.every.period for entry in TIMETABLE
    }


def test_a_period_that_was_changed_does_not_make_an_entry_run(world: World) -> None:
    tick()
    world.work_until_idle()
    world.sql("UPDATE schedule_state SET period = '5 s'")
    tick()
    assert waiting(world) == []


def test_success_is_noted_with_the_work(world: World) -> None:
    tick()
    assert world.sql("SELECT count(last_success_at) FROM schedule_state")[0][0] == 0
    world.work_until_idle()
    assert world.sql("SELECT count(*) FROM schedule_state WHERE last_success_at >= last_run_at")[0][0] == len(KINDS)


def test_one_beat_leads_and_the_other_takes_over_when_it_is_gone(
    world: World, beats: tuple[PostgresScheduler, PostgresScheduler]
) -> None:
    first, second = beats
    first.tick()
    world.work_until_idle()
    world.sql("DELETE FROM schedule_state")
    second.tick()
    assert waiting(world) == [], "the second one does not lead"
    first.close()
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while not waiting(world) and time.monotonic() < deadline:
        time.sleep(second.tick() / 10)
    assert waiting(world) == KINDS


def test_a_beat_whose_connection_was_cut_leads_again(
    world: World, beats: tuple[PostgresScheduler, PostgresScheduler]
) -> None:
    beat, _ = beats
    beat.tick()
    cut_advisory_lock_holders()
    world.work_until_idle()
    world.sql("DELETE FROM schedule_state")
    assert beat.tick() == 1.0, "the loss is noticed, and tried again in a second"
    beat.tick()
    assert waiting(world) == KINDS


@pytest.mark.parametrize(("hour", "due"), [(5, True), (15, False)])
def test_a_time_of_day_is_that_of_the_reporting_zone(
    world: World, beats: tuple[PostgresScheduler, PostgresScheduler], hour: int, due: bool
) -> None:
    """Six hours after the last run: where it is five o'clock, a quarter past three has come meanwhile."""
    tick()
    world.sql("DELETE FROM outbox")
    world.sql("UPDATE schedule_state SET last_run_at = now() - interval '6 hours'")
    with reporting_zone_in_which_it_is(hour):
        beats[0].tick()
    daily = {entry.kind for entry in TIMETABLE if isinstance(entry.every, Daily)}
    assert daily
    assert daily & set(waiting(world)) == (daily if due else set())


@contextmanager
def reporting_zone_in_which_it_is(hour: int) -> Iterator[None]:
    """As an operator would set it: in the environment, read anew by whoever starts."""
    ahead = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    os.environ["REPORTING_TZ"] = f"Etc/GMT{-ahead:+d}"  # POSIX counts westwards
    settings.current.cache_clear()
    try:
        yield
    finally:
        del os.environ["REPORTING_TZ"]
        settings.current.cache_clear()


def test_beat_needs_no_broker(world: World, beats: tuple[PostgresScheduler, PostgresScheduler]) -> None:
    assert beats[0].producer is None
