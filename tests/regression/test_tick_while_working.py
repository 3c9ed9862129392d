"""Beat stood still while a worker was doing a tick (review of 23 November 2026).

The worker deletes the tick's row in the transaction that does the work; beat's INSERT … ON CONFLICT for the next tick
waited for that transaction, and with it every other entry of the timetable. Beat now looks first, and does not insert.
"""

import time
from datetime import UTC

from world import World

from models import outbox
from runtime import database
from schedules import ticks
from schedules.timetable import TIMETABLE


def test_beat_does_not_wait_for_a_tick_that_is_being_done(world: World) -> None:
    with database.transaction() as beat:
        ticks.tick(beat, TIMETABLE, UTC)
    with database.transaction() as worker:
        outbox.take(worker, [row.id for row in world.due()])
        world.sql("UPDATE schedule_state SET last_run_at = now() - interval '1 day'")
        began = time.monotonic()
        with database.transaction() as beat:
            ticks.tick(beat, TIMETABLE, UTC)
        assert time.monotonic() - began < 1


def test_work_may_ask_for_itself_again_while_it_is_done(world: World) -> None:
    with database.transaction() as connection:
        outbox.put(connection, "rollups.fold")
    [row] = world.due()
    with database.transaction() as worker:
        outbox.take(worker, [row.id])
        assert outbox.put(worker, "rollups.fold")
    assert [again.kind for again in world.due()] == ["rollups.fold"]
