"""What happens at the same moment: real threads, real transactions, and an invariant that must survive them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

from world import World

from models import transition_requests
from models.acceptance import Answer, Outcome, Request
from models.advance import Step
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database
from runtime.database import Role
from workers.app import app

ROUNDS = 40
T = TypeVar("T")


def at_once(*acts: Callable[[], T]) -> list[T]:
    """Do all of these at the same moment, each in a thread of its own."""
    barrier = Barrier(len(acts))

    def start(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(start, acts))


def accept(world: World, request: Request) -> Outcome:
    return world.accept(request)[0]


def test_one_key_makes_one_order_however_many_ask_at_once(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(ROUNDS):
        request = world.request(user, {bowl.sku: 1})
        outcomes = at_once(*[partial(accept, world, request)] * 5)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        assert len(answers) == 5
        assert len({answer.body for answer in answers}) == 1
        assert [answer.replayed for answer in answers].count(False) == 1
    assert len(world.orders()) == ROUNDS


def test_one_reference_makes_one_order_however_many_keys_ask_at_once(world: World) -> None:
    bowl, user = world.product(), world.user()
    for number in range(ROUNDS):
        requests = [world.request(user, {bowl.sku: 1}, client_reference=f"ref-{number}") for _ in range(4)]
        outcomes = at_once(*[partial(accept, world, request) for request in requests])
        statuses = sorted(outcome.status for outcome in outcomes if isinstance(outcome, Answer))
        assert statuses == [201, 409, 409, 409]
    assert len(world.orders()) == ROUNDS


def test_batches_with_the_same_keys_in_other_sequences_do_not_deadlock(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(ROUNDS):
        batch = [world.request(user, {bowl.sku: 1}) for _ in range(10)]
        outcomes = at_once(partial(world.accept, *batch), partial(world.accept, *reversed(batch)))
        assert all(isinstance(outcome, Answer) for both in outcomes for outcome in both)
    assert len(world.orders()) == 10 * ROUNDS


def test_a_cancellation_and_the_confirmation_meet_and_exactly_one_way_is_taken(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(ROUNDS):
        order = world.place(user, {bowl.sku: 1})
        wish = Wish(Status.CANCELLED, Actor.OWNER, user.id)
        with database.transaction(Role.API) as connection:
            transition_requests.ask(connection, order.id, user.id, wish)
        due = {row.kind: row.id for row in world.due()}
        at_once(
            partial(app.tasks["orders.confirm"], [due["orders.confirm"]]),
            partial(app.tasks["orders.transition"], [due["orders.transition"]]),
        )
        assert world.journey(order.id) in (["pending", "cancelled"], ["pending", "confirmed", "cancelled"])
        world.work_until_idle()
        assert world.status(order.id) is Status.CANCELLED
    assert world.stock(bowl.sku) == (1_000_000, 0)


def test_one_message_delivered_to_five_workers_at_once_has_one_effect(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(ROUNDS):
        orders = [world.place(user, {bowl.sku: 1}).id for _ in range(3)]
        ids = [row.id for row in world.due() if row.kind == "orders.confirm"]
        at_once(*[partial(app.tasks["orders.confirm"], ids)] * 5)
        assert all(world.journey(order) == ["pending", "confirmed"] for order in orders)
        world.work_until_idle()
    assert world.stock(bowl.sku) == (1_000_000 - 3 * ROUNDS, 0)


def test_a_hundred_pieces_go_to_exactly_a_hundred_of_a_thousand_orders(world: World) -> None:
    scarce, user = world.product(on_hand=100), world.user()
    world.accept(*[world.request(user, {scarce.sku: 1}) for _ in range(1000)])
    ids = [row.id for row in world.due() if row.kind == "orders.confirm"]
    batches = [ids[start : start + 50] for start in range(0, 1000, 50)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(app.tasks["orders.confirm"], batches))
    counts = dict(tuple(row) for row in world.sql("SELECT status, count(*) FROM orders GROUP BY status"))
    assert counts == {"confirmed": 100, "cancelled": 900}
    assert world.stock(scarce.sku) == (100, 100)
    reasons = world.sql("SELECT DISTINCT reason, actor FROM order_events WHERE to_status = 'cancelled'")
    assert [tuple(row) for row in reasons] == [("out_of_stock", "system")]


def test_confirmations_at_the_same_moment_never_promise_the_same_piece_twice(world: World) -> None:
    user = world.user()
    for _ in range(ROUNDS // 4):
        scarce = world.product(on_hand=6)
        steps = [Step(world.place(user, {scarce.sku: 1}).id, 1, Status.PENDING, Status.CONFIRMED) for _ in range(12)]
        # Not through the tasks, which would try again what PostgreSQL's CHECK refuses: here nothing may be refused.
        at_once(*[partial(world.move, *steps[part::4]) for part in range(4)])
        assert world.stock(scarce.sku) == (6, 6)


def test_batches_over_the_same_products_in_other_sequences_do_not_deadlock(world: World) -> None:
    skus = [world.product().sku for _ in range(5)]
    user = world.user()
    for turn in range(ROUNDS // 4):
        lines = dict.fromkeys(skus if turn % 2 else reversed(skus), 1)
        world.accept(*[world.request(user, lines) for _ in range(40)])
        ids = [row.id for row in world.due() if row.kind == "orders.confirm"]
        at_once(*[partial(app.tasks["orders.confirm"], ids[part::4]) for part in range(4)])
        world.work_until_idle()
    assert {world.status(order.id) for order in world.orders()} == {Status.DELIVERED}
    assert world.sql("SELECT count(*) FROM outbox WHERE attempts > 0")[0][0] == 0
