"""What `advance` promises of a step: it happens to the order it was decided on, as it was then, once; or not at all."""

from world import World

from models.advance import Step
from models.lifecycle import Status


def test_a_step_for_an_earlier_visit_of_the_same_status_does_nothing(world: World) -> None:
    """An order may be pending twice: a worker that wakes up late still holds the confirmation of the first time."""
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    late = Step(order.id, 1, Status.PENDING, Status.CONFIRMED)
    assert world.move(Step(order.id, 1, Status.PENDING, Status.FAILED))
    assert world.move(Step(order.id, 2, Status.FAILED, Status.PENDING))
    assert world.move(late) == []
    assert world.move(Step(order.id, 1, Status.PENDING, Status.EXPIRED)) == []
    assert world.journey(order.id) == ["pending", "failed", "pending"]
    assert world.stock(bowl.sku) == (1_000_000, 0)


def test_a_step_from_another_status_does_nothing(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    assert world.move(Step(order.id, 1, Status.CONFIRMED, Status.PROCESSING)) == []
    assert world.journey(order.id) == ["pending"]


def test_of_steps_for_one_order_in_a_batch_the_one_that_applies_happens_and_is_told(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    world.move(Step(order.id, 1, Status.PENDING, Status.CONFIRMED))
    stale = Step(order.id, 1, Status.PENDING, Status.EXPIRED)
    applies = Step(order.id, 2, Status.CONFIRMED, Status.PROCESSING)
    early = Step(order.id, 3, Status.PROCESSING, Status.CANCELLED, reason="x")
    assert world.move(stale, applies, applies, early) == [applies]
    assert world.journey(order.id) == ["pending", "confirmed", "processing"]
