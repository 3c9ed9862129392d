"""Orders that nobody confirms, where confirmation is manual."""

from dataclasses import replace

from world import World

from models import expiry
from models.lifecycle import Status
from runtime import database
from runtime.settings import Confirmation


def make_overdue(world: World) -> None:
    world.sql("UPDATE orders SET due_at = now() - interval '1 second'")


def expire(world: World) -> int:
    with database.transaction() as connection:
        return expiry.expire(connection, world.policy)


def test_with_manual_confirmation_an_order_waits_and_then_expires(world: World) -> None:
    world.policy = replace(world.policy, confirmation=Confirmation.MANUAL)
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    assert world.due() == [], "nothing happens to it by itself"
    assert expire(world) == 0
    make_overdue(world)
    assert expire(world) == 1
    last = world.events(order.id)[-1]
    assert (last.to_status, last.actor, last.reason) == ("expired", "system", "not_confirmed_in_time")


def test_with_automatic_confirmation_a_late_order_is_stuck_and_not_expired(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    make_overdue(world)
    assert expire(world) == 0
    assert world.status(order.id) is Status.PENDING


def test_an_order_that_moved_on_does_not_expire(world: World) -> None:
    bowl = world.product()
    world.place(world.user(), {bowl.sku: 1})
    world.work("orders.confirm")
    world.policy = replace(world.policy, confirmation=Confirmation.MANUAL)
    make_overdue(world)
    assert expire(world) == 0


def test_a_sweep_takes_a_bounded_bite(world: World) -> None:
    world.policy = replace(world.policy, confirmation=Confirmation.MANUAL)
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(5)])
    make_overdue(world)
    with database.transaction() as connection:
        assert [expiry.expire(connection, world.policy, limit=2) for _ in range(4)] == [2, 2, 1, 0]
