"""No two workers do the same sweep at once, whatever asks for it and however often its message comes."""

from collections.abc import Iterator
from datetime import UTC

import pytest
from at_once import at_once
from world import World

from models import outbox, retention
from runtime import database
from schedules import ticks
from schedules.timetable import TIMETABLE
from workers.app import app

KIND = "upkeep.prune-idempotency-keys"
# A sweep takes a while, and one that begins meanwhile fails.
WATCHED = """
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS '
        BEGIN
            IF NOT pg_try_advisory_xact_lock(4711) THEN RAISE ''two sweeps at once''; END IF;
            PERFORM pg_sleep(0.2);
            RETURN NULL;
        END';
    CREATE TRIGGER watched BEFORE DELETE ON idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION watch()
"""
UNWATCHED = "DROP TRIGGER IF EXISTS watched ON idempotency_keys; DROP FUNCTION IF EXISTS watch()"


@pytest.fixture
def watched(world: World) -> Iterator[None]:
    world.sql(WATCHED)
    yield
    world.sql(UNWATCHED)


def tick() -> None:
    with database.transaction() as connection:
        ticks.tick(connection, TIMETABLE, UTC)


def ask() -> None:
    """As somebody might by hand, who does not look first."""
    with database.transaction() as connection:
        connection.exec_driver_sql(f"INSERT INTO outbox (kind) VALUES ('{KIND}') ON CONFLICT DO NOTHING")


def deliver(world: World) -> None:
    """A message with all rows that a relay might see."""
    rows = [row.id for row in world.due() if row.kind == KIND]
    app.tasks[KIND](rows)


@pytest.mark.usefixtures("watched")
def test_sweeps_follow_each_other_and_never_overlap(world: World) -> None:
    world.sql(
        "INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, expires_at)"
        " SELECT :user, 'route', n::text, '', 201, '', now() FROM generate_series(1, :keys) AS n",
        user=world.user().id,
        keys=retention.ROWS_PER_BITE + 1,
    )
    tick()
    for _ in range(3):
        world.sql("UPDATE schedule_state SET last_run_at = now() - interval '1 day'")
        at_once(*[lambda: deliver(world)] * 4, *[tick] * 2, ask)
    while any(row.kind == KIND for row in world.due()):
        deliver(world)
    assert world.sql("SELECT last_error FROM outbox WHERE attempts > 0") == []
    assert world.sql("SELECT count(*) FROM idempotency_keys")[0][0] == 0


def test_a_sweep_that_is_being_done_cannot_be_queued_beside_itself(world: World) -> None:
    with database.transaction() as connection:
        outbox.put(connection, KIND)
    [row] = world.due()
    with database.transaction() as worker:
        outbox.take(worker, [row.id])
        with database.transaction() as beat:
            assert not outbox.put(beat, KIND), "somebody is at it"
        with database.transaction() as other:
            assert outbox.take(other, [row.id]) == [], "the message came twice"
