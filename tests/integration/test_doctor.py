"""What `orders doctor` says of a configured system."""

import json
import subprocess
import sys
from datetime import UTC
from typing import Any

from world import World

from runtime import database
from schedules import ticks
from schedules.timetable import TIMETABLE


def doctor() -> tuple[dict[str, Any], int]:
    """Its check of the timetable, and its exit code."""
    command = [sys.executable, "-m", "ops", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    [check] = [check for check in json.loads(done.stdout) if check["name"] == "timetable"]
    return check, done.returncode


def test_where_beat_has_never_run_there_is_nothing_to_judge(world: World) -> None:
    check, code = doctor()
    assert (check["outcome"], code) == ("skipped", 0)


def test_an_entry_that_does_not_succeed_is_named_and_the_doctor_is_not_content(world: World) -> None:
    with database.transaction() as connection:
        ticks.tick(connection, TIMETABLE, UTC)
    check, code = doctor()
    assert (check["outcome"], code) == ("good", 0)
    world.sql("UPDATE schedule_state SET last_success_at = now()")
    world.sql("UPDATE schedule_state SET last_success_at = now() - interval '6 hours' WHERE entry = 'orders.expire'")
    check, code = doctor()
    assert (check["outcome"], code) == ("bad", 1)
    assert check["found"].startswith("no success: orders.expire for 6:0")
    assert "docs/operations.md" in check["advice"]
