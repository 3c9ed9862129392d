"""The function that restamps the events of a restored dump took those of its own transaction along (25 November 2026).

The snapshot of a transaction ends below the ids of those that run, its own among them: an event that the caller had
just written looked like one from the future, and was given the id of a transaction that ended long ago. The fold never
looks back that far, so the event was counted by nobody. A reviewer found it; the rebuild writes no events, and nothing
was miscounted. The watermark was distrusted for the same reason.
"""

from recounts import drifted
from sqlalchemy import Connection, text
from world import World

from models import acceptance
from models.analytics import rollups
from runtime import database
from runtime.database import Role

RESTAMP = text("SELECT restamp_future_events(10)")
XIDS = "SELECT DISTINCT xid::text FROM order_events"


def place(connection: Connection, world: World) -> str:
    """Within a transaction that is not over; returns its id."""
    [outcome] = acceptance.accept(connection, [world.request(world.user(), {world.product().sku: 1})], world.terms)
    assert isinstance(outcome, acceptance.Answer)
    return str(connection.execute(text("SELECT pg_current_xact_id()::text")).scalar_one())


def test_what_the_caller_has_just_written_is_left_alone_and_counted(world: World) -> None:
    with database.transaction(Role.OWNER) as connection:
        own = place(connection, world)
        assert connection.execute(RESTAMP).scalar_one() == 0
    assert world.sql(XIDS) == [(own,)]
    world.fold()
    assert drifted(world) == []


def test_events_from_the_future_are_restamped_beside_it(world: World) -> None:
    world.place(world.user(), {world.product().sku: 1})
    world.sql("UPDATE order_events SET xid = '9000000000'")
    with database.transaction(Role.OWNER) as connection:
        own = place(connection, world)
        assert connection.execute(RESTAMP).scalar_one() == 1
    assert {row[0] for row in world.sql(XIDS)} == {"3", own}


def test_a_transaction_that_writes_events_trusts_its_watermark(world: World) -> None:
    with database.transaction(Role.OWNER) as connection:
        place(connection, world)
        assert rollups.is_trusted(connection)
