"""Work that stood twice in one message reserved its stock twice (found while modelling `advance`, 23 November 2026).

The compare-and-set moved the order once, but the reservation before it counted every step of the batch: two rows for
one order and version, or a current row beside a stale one of the same kind (an order that failed and was put back),
promised the goods twice, and nothing ever gave the second promise back. One step per order now survives the lock: the
one that names the order's present version and status.
"""

from uuid import UUID

import pytest
from world import World

from models import outbox
from models.advance import Step
from models.lifecycle import Actor, Status
from runtime import database
from workers.app import app


def dispatch(order_id: UUID, version: int) -> None:
    with database.transaction() as connection:
        outbox.put(connection, "orders.confirm", order_id, version)


def confirm_all(world: World) -> None:
    app.tasks["orders.confirm"]([row.id for row in world.due() if row.kind == "orders.confirm"])


def test_the_same_work_twice_in_one_message_reserves_once(world: World) -> None:
    bowl = world.product(on_hand=10)
    order = world.place(world.user(), {bowl.sku: 1})
    dispatch(order.id, 1)
    confirm_all(world)
    assert world.journey(order.id) == ["pending", "confirmed"]
    assert world.stock(bowl.sku) == (10, 1)


def test_the_last_piece_is_not_refused_because_its_work_came_twice(world: World) -> None:
    bowl = world.product(on_hand=1)
    order = world.place(world.user(), {bowl.sku: 1})
    dispatch(order.id, 1)
    confirm_all(world)
    assert world.status(order.id) is Status.CONFIRMED
    assert world.stock(bowl.sku) == (1, 1)


@pytest.mark.parametrize("stale_comes", ["first", "last"])
def test_current_work_is_done_once_beside_its_stale_twin(world: World, stale_comes: str) -> None:
    bowl = world.product(on_hand=10)
    order = world.place(world.user(), {bowl.sku: 1})
    if stale_comes == "last":
        world.sql("DELETE FROM outbox")
    world.move(Step(order.id, 1, Status.PENDING, Status.FAILED))
    world.move(Step(order.id, 2, Status.FAILED, Status.PENDING, Actor.STAFF))
    if stale_comes == "last":
        dispatch(order.id, 1)
    confirm_all(world)
    assert world.journey(order.id) == ["pending", "failed", "pending", "confirmed"]
    assert world.stock(bowl.sku) == (10, 1)


def test_old_work_does_not_touch_an_order_that_came_back_to_the_same_status(world: World) -> None:
    bowl = world.product(on_hand=10)
    order = world.place(world.user(), {bowl.sku: 1})
    [old] = [row.id for row in world.due()]
    world.move(Step(order.id, 1, Status.PENDING, Status.FAILED))
    world.move(Step(order.id, 2, Status.FAILED, Status.PENDING, Actor.STAFF))
    app.tasks["orders.confirm"]([old])
    assert world.journey(order.id) == ["pending", "failed", "pending"]
    assert world.stock(bowl.sku) == (10, 0)
