"""When an entry of the timetable is due."""

from datetime import UTC, datetime, timedelta

from schedules.cadences import day, seconds
from schedules.ticks import is_due, until_next
from schedules.timetable import TIMETABLE, Entry
from workers.app import app

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERY_MINUTE = Entry("to be tested", kind="test", every=seconds(60))
EVERY_NIGHT = Entry("to be tested", kind="test", every=day(at="03:15"))


def test_an_entry_that_never_ran_is_due() -> None:
    assert is_due(EVERY_MINUTE, None, NOON, UTC)


def test_an_entry_is_due_again_when_its_period_is_over_and_not_before() -> None:
    assert is_due(EVERY_MINUTE, NOON - timedelta(seconds=60), NOON, UTC)
    assert not is_due(EVERY_MINUTE, NOON - timedelta(seconds=59), NOON, UTC)


def test_a_clock_that_was_stepped_back_does_not_silence_an_entry() -> None:
    assert is_due(EVERY_MINUTE, NOON + timedelta(hours=1), NOON, UTC)
    assert is_due(EVERY_NIGHT, NOON + timedelta(hours=1), NOON, UTC)


def test_beat_sleeps_until_the_next_entry_is_due() -> None:
    last_runs = {"test": NOON - timedelta(seconds=45)}
    assert until_next([EVERY_MINUTE], last_runs, NOON, UTC) == timedelta(seconds=15)


def test_a_long_overdue_entry_is_due_now() -> None:
    assert until_next([EVERY_MINUTE], {"test": NOON - timedelta(days=1)}, NOON, UTC) == timedelta(0)


def test_every_entry_is_the_name_of_a_task() -> None:
    app.loader.import_default_modules()
    assert {entry.kind for entry in TIMETABLE} <= set(app.tasks)


def test_no_kind_stands_in_the_timetable_twice() -> None:
    assert len({entry.kind for entry in TIMETABLE}) == len(TIMETABLE)
