"""Orders that have overstayed their status are told by number and by name."""

from datetime import timedelta

from log_lines import log_of_task
from world import World

from models import stuck
from models.advance import Step
from models.lifecycle import DEADLINES, Status
from models.stuck import NAMED_MAX, Stuck
from runtime import database


def found(world: World) -> list[Stuck]:
    with database.transaction() as connection:
        return stuck.stuck(connection)


def test_nothing_is_stuck_before_its_deadline(world: World) -> None:
    world.place(world.user(), {world.product().sku: 1})
    assert found(world) == []


def test_stuck_orders_are_counted_by_status_and_the_oldest_are_named(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(NAMED_MAX + 2):
        world.place(user, {bowl.sku: 1})
    placed = [order.id for order in world.orders()]
    world.move(Step(placed[0], 1, Status.PENDING, Status.CONFIRMED))
    world.sql("UPDATE orders SET due_at = placed_at - interval '1 hour'")
    pending, confirmed = sorted(found(world), key=lambda each: each.orders, reverse=True)
    assert (pending.status, pending.orders, list(pending.oldest)) == (
        Status.PENDING,
        NAMED_MAX + 1,
        placed[1 : NAMED_MAX + 1],
    )
    assert (confirmed.status, confirmed.orders, list(confirmed.oldest)) == (Status.CONFIRMED, 1, [placed[0]])
    assert pending.since == world.order(placed[1]).due_at


def test_the_sweep_says_so_in_the_log(world: World) -> None:
    order = world.place(world.user(), {world.product().sku: 1})
    world.sql("UPDATE orders SET due_at = now() - interval '1 minute'")
    [line] = log_of_task("upkeep.report-stuck")
    assert (line["level"], line["event"], line["status"], line["orders"], line["oldest"]) == (
        "warning",
        "stuck orders",
        "pending",
        1,
        [str(order.id)],
    )


def test_where_nothing_is_stuck_nothing_is_said(world: World) -> None:
    world.place(world.user(), {world.product().sku: 1})
    assert log_of_task("upkeep.report-stuck") == []


def test_a_final_order_is_never_stuck(world: World) -> None:
    order = world.place(world.user(), {world.product().sku: 1})
    world.work_until_idle()
    assert world.status(order.id) is Status.DELIVERED
    world.sql("UPDATE orders SET due_at = now() - interval '1 day'")
    assert found(world) == []


def test_every_status_that_can_be_left_has_a_deadline(world: World) -> None:
    for status in Status:
        deadline = world.policy.deadline(status)
        assert (deadline is None) == (status in {Status.DELIVERED, Status.CANCELLED, Status.EXPIRED}), status
    assert DEADLINES[Status.CONFIRMED] == timedelta(minutes=5)
