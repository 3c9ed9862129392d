"""The scheduler as it runs: real `celery beat` processes, killed, restarted, without a broker, their clocks set."""

import json
import platform
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from beat_processes import START_SECONDS, Beat, beat, faketime, leader, take_ticks, ticks_for
from running_system import eventually
from world import World

from schedules.timetable import TIMETABLE

pytestmark = pytest.mark.timeout(300)

TAKE_OVER_SECONDS = 2
FOLD = "rollups.fold"
FOLD_SECONDS = next(entry.every.period.total_seconds() for entry in TIMETABLE if entry.kind == FOLD)
KINDS = {entry.kind for entry in TIMETABLE}
OFTEN = {FOLD, "rollups.top-users"}
WHILE_SECONDS = 4 * FOLD_SECONDS
has_faketime = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="libfaketime comes for Linux on x86-64 only"
)


@pytest.fixture
def first(world: World, tmp_path: Path) -> Iterator[Beat]:
    """A beat that leads."""
    with beat(tmp_path / "first") as process:
        eventually(lambda: leader(world), "a leading beat", START_SECONDS)
        yield process


def assert_usual(folds: int, seconds: float) -> None:
    """As many ticks as periods: no flood, and no stop. The machine may be slow, so one or two may be missing."""
    periods = seconds / FOLD_SECONDS
    assert periods / 2 <= folds <= periods + 1


def test_two_beats_run_one_leads_and_the_other_takes_over_from_a_killed_one(
    world: World, first: Beat, tmp_path: Path
) -> None:
    leading = leader(world)
    with beat(tmp_path / "second") as second:
        eventually(lambda: second.is_ticking, "a second beat", START_SECONDS)
        assert_usual(ticks_for(world, WHILE_SECONDS)[FOLD], WHILE_SECONDS)
        assert leader(world) == leading
        first.process.kill()
        eventually(lambda: leader(world) not in (None, leading), "a new leader", TAKE_OVER_SECONDS)
        take_ticks(world)
        assert_usual(ticks_for(world, WHILE_SECONDS)[FOLD], WHILE_SECONDS)


def test_a_beat_that_was_stopped_hands_over(world: World, first: Beat, tmp_path: Path) -> None:
    leading = leader(world)
    with beat(tmp_path / "second") as second:
        eventually(lambda: second.is_ticking, "a second beat", START_SECONDS)
        first.process.send_signal(signal.SIGTERM)
        eventually(lambda: leader(world) not in (None, leading), "a new leader", TAKE_OVER_SECONDS)
        assert first.process.wait(20) == 0


def test_beat_needs_neither_broker_nor_files(world: World, first: Beat, tmp_path: Path) -> None:
    """Its broker is one that refuses every connection. A killed beat leaves nothing, and the next one needs nothing."""
    eventually(lambda: take_ticks(world)[FOLD], "a tick in the outbox")
    first.process.kill()
    assert list(first.directory.iterdir()) == []
    eventually(lambda: leader(world) is None, "nobody leads")
    take_ticks(world)
    world.sql("UPDATE schedule_state SET last_run_at = now() - interval '3 days'")
    with beat(tmp_path / "next"):
        eventually(lambda: leader(world), "a leading beat", START_SECONDS)
        ticks = ticks_for(world, WHILE_SECONDS)
    assert {kind: count for kind, count in ticks.items() if kind not in OFTEN} == dict.fromkeys(KINDS - OFTEN, 1)
    assert_usual(ticks[FOLD], WHILE_SECONDS)


@has_faketime
def test_beat_goes_on_at_its_pace_when_its_machines_clock_is_set_an_hour_back_and_a_day_forward(
    world: World, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    set_clock(clock, timedelta(0))
    stepped = {
        "LD_PRELOAD": str(faketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # Nobody can set that one.
        "LOG_LEVEL": "DEBUG",  # Celery says with every turn that it will wake up.
    }
    with beat(tmp_path / "beat", **stepped) as process:
        eventually(lambda: leader(world), "a leading beat", START_SECONDS)
        for step in (timedelta(0), timedelta(hours=-1), timedelta(days=1)):
            set_clock(clock, step)
            take_ticks(world)
            assert_usual(ticks_for(world, WHILE_SECONDS)[FOLD], WHILE_SECONDS)
            assert abs(last_logged_at(process) - datetime.now(UTC) - step) < timedelta(minutes=1), "its clock is that"


def lines(process: Beat) -> list[dict[str, str]]:
    return [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]


def last_logged_at(process: Beat) -> datetime:
    return datetime.fromisoformat(lines(process)[-1]["timestamp"])


def set_clock(file: Path, step: timedelta) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"{step.total_seconds():+.0f}")
    new.rename(file)
