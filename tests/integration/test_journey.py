"""An order's way through the pipeline, task by task."""

import pytest
from world import World

from models.lifecycle import Status
from workers.app import app

WHOLE_WAY = ["pending", "confirmed", "processing", "shipped", "delivered"]


def test_an_order_travels_to_delivered_with_one_event_per_move(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 2})
    world.work_until_idle()
    assert world.journey(order.id) == WHOLE_WAY
    assert world.order(order.id).version == 5
    assert world.stock(bowl.sku) == (1_000_000 - 2, 0)


@pytest.mark.parametrize("kind", ["orders.confirm", "orders.process", "orders.ship", "orders.deliver"])
def test_a_second_delivery_moves_nothing(world: World, kind: str) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 2})
    while kind not in {row.kind for row in world.due()}:
        world.work()
    ids = [row.id for row in world.due() if row.kind == kind]
    world.work(kind)
    once = world.events(order.id), world.stock(bowl.sku), world.due()
    for _ in range(5):
        app.tasks[kind](ids)
    assert (world.events(order.id), world.stock(bowl.sku), world.due()) == once
    world.work_until_idle()
    assert world.status(order.id) is Status.DELIVERED
