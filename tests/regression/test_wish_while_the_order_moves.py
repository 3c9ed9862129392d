"""Asking for a transition waited for the batch that was just moving the order (25 November 2026).

Workers locked orders FOR UPDATE, and a wish refers to its order: its foreign key waited until the whole batch had been
committed, and when that took more than two seconds the client got a 503. A move changes no key of an order, so that the
weaker lock, FOR NO KEY UPDATE, keeps other moves out just as well.
"""

from world import World

from models import transition_requests
from models.advance import Step, advance
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database
from runtime.database import Role


def test_a_wish_is_recorded_while_a_worker_moves_the_order(world: World) -> None:
    bowl, user = world.product(), world.user()
    order_id = world.place(user, {bowl.sku: 1}).id
    wish = Wish(Status.CANCELLED, Actor.OWNER, user.id)
    with database.transaction(Role.WORKER) as moving:
        assert advance(moving, [Step(order_id, 1, Status.PENDING, Status.CONFIRMED)], world.policy)
        with database.transaction(Role.API) as asking:
            _, request = transition_requests.ask(asking, order_id, None, wish)
    assert request is not None
    world.work("orders.transition")
    assert world.journey(order_id) == ["pending", "confirmed", "cancelled"]


def test_a_wish_is_recorded_while_another_one_is_settled(world: World) -> None:
    bowl, user = world.product(), world.user()
    order_id = world.place(user, {bowl.sku: 1}).id
    wish = Wish(Status.CANCELLED, Actor.OWNER, user.id)
    with database.transaction(Role.API) as asking:
        transition_requests.ask(asking, order_id, None, wish)
    with database.transaction(Role.WORKER) as settling:
        assert transition_requests.settle(settling, [order_id], world.policy) == 1
        with database.transaction(Role.API) as asking:
            _, request = transition_requests.ask(asking, order_id, None, wish)
    assert request is not None
    world.work("orders.transition")
    assert world.journey(order_id) == ["pending", "cancelled"]
