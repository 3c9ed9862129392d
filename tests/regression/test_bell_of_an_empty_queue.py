"""The relay never counted a lease that was overrun, and lost its lead instead (review of 23 November 2026).

A worker that dies of a row leaves its queue empty. kombu answers a passive declaration of an empty Redis queue with
404, because to Redis an empty list does not exist; the relay stumbled over it, forgot every lease and dispatched all
again, so that the row was tried for ever and never reached the dead letters.
"""

from uuid import uuid4

from world import World

from models import outbox
from runtime import database
from workers.app import app
from workers.bell import CeleryBell
from workers.relay import Batch


def test_in_an_empty_queue_nothing_waits() -> None:
    app.loader.import_default_modules()
    assert CeleryBell(app).waiting(f"never-used-{uuid4()}") == 0


def test_a_bell_that_was_rung_is_waiting_in_the_queue_of_its_kind() -> None:
    app.loader.import_default_modules()
    bell = CeleryBell(app)
    before = bell.waiting("rollups")
    bell.ring([Batch("rollups.fold", (1,)), Batch("rollups.fold", (2, 3))])
    assert bell.queue("rollups.fold") == "rollups"
    assert bell.waiting("rollups") == before + 2


def test_a_row_that_failed_waits_for_its_time_and_not_for_its_lease(world: World) -> None:
    """The lease used to outlive the failure: back-offs of a second became half a minute, and each counted twice."""
    bowl = world.product()
    world.place(world.user(), {bowl.sku: 1})
    [row] = world.due()
    with database.transaction() as connection:
        assert outbox.present(connection, [row.id]) == {row.id: 0}
        outbox.postpone(connection, [row.id], "tried")
    with database.transaction() as connection:
        assert outbox.present(connection, [row.id]) == {}
