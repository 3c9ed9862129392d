"""What happens at the same moment: real threads, real transactions, and an invariant that must survive them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from uuid import UUID

from at_once import at_once
from world import World

from models import errors, transition_requests
from models.acceptance import Answer, Outcome, Request
from models.advance import Step
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database
from runtime.database import Role
from workers.app import app

ROUNDS = 40
# For the races that clients can start themselves.
MANY_ROUNDS = 200


def accept(world: World, request: Request) -> Outcome:
    return world.accept(request)[0]


def test_one_key_makes_one_order_however_many_ask_at_once(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(MANY_ROUNDS):
        request = world.request(user, {bowl.sku: 1})
        outcomes = at_once(*[partial(accept, world, request)] * 4)
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        assert len(answers) == 4
        assert len({answer.body for answer in answers}) == 1
        assert [answer.replayed for answer in answers].count(False) == 1
    assert len(world.orders()) == MANY_ROUNDS


def test_one_key_with_two_bodies_makes_the_order_of_one_and_refuses_the_other(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(MANY_ROUNDS):
        one = world.request(user, {bowl.sku: 1})
        other = replace(world.request(user, {bowl.sku: 2}), key=one.key)
        outcomes = at_once(*[partial(accept, world, request) for request in (one, other, one, other)])
        answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, errors.IdempotencyKeyReused)]
        assert (len(answers), len(refusals)) == (2, 2)
        assert len({answer.body for answer in answers}) == 1
        assert sorted(answer.replayed for answer in answers) == [False, True]
        assert [isinstance(outcome, Answer) for outcome in outcomes] in ([True, False] * 2, [False, True] * 2)
    assert len(world.orders()) == MANY_ROUNDS


def test_one_reference_makes_one_order_however_many_keys_ask_at_once(world: World) -> None:
    bowl, user = world.product(), world.user()
    for number in range(MANY_ROUNDS):
        requests = [world.request(user, {bowl.sku: 1}, client_reference=f"ref-{number}") for _ in range(3)]
        outcomes = at_once(*[partial(accept, world, request) for request in requests])
        statuses = sorted(outcome.status for outcome in outcomes if isinstance(outcome, Answer))
        assert statuses == [201, 409, 409]
    assert len(world.orders()) == MANY_ROUNDS


def test_batches_with_the_same_keys_in_other_sequences_do_not_deadlock(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(ROUNDS):
        batch = [world.request(user, {bowl.sku: 1}) for _ in range(10)]
        outcomes = at_once(partial(world.accept, *batch), partial(world.accept, *reversed(batch)))
        assert all(isinstance(outcome, Answer) for both in outcomes for outcome in both)
    assert len(world.orders()) == 10 * ROUNDS


def place_many(world: World, sku: str, *kinds: str) -> list[UUID]:
    """Orders of one piece each, brought on their way by these kinds of work."""
    user = world.user()
    outcomes = world.accept(*[world.request(user, {sku: 1}) for _ in range(MANY_ROUNDS)])
    for kind in kinds:
        world.work(kind)
    return [outcome.order_id for outcome in outcomes if isinstance(outcome, Answer) and outcome.order_id]


def ask_to_cancel(world: World, orders: Sequence[UUID], actor: Actor) -> None:
    with database.transaction(Role.API) as connection:
        for order in orders:
            wish = Wish(Status.CANCELLED, actor, world.order(order).user_id, reason="changed my mind")
            transition_requests.ask(connection, order, None, wish)


def meet(world: World, order: UUID, kind: str) -> None:
    """The work of this kind and the wish for a cancellation come to two workers at the same moment."""
    rows = world.sql("SELECT kind, id FROM outbox WHERE order_id = :id", id=order)
    due = {row.kind: row.id for row in rows}
    at_once(*[partial(app.tasks[each], [due[each]]) for each in (kind, "orders.transition")])


def outcome_of_wish(world: World, order: UUID) -> str:
    [row] = world.sql("SELECT state, refusal FROM transition_requests WHERE order_id = :id", id=order)
    return str(row.refusal or row.state)


def test_a_cancellation_and_the_confirmation_meet_and_the_order_is_cancelled_either_way(world: World) -> None:
    bowl = world.product()
    orders = place_many(world, bowl.sku)
    ask_to_cancel(world, orders, Actor.OWNER)
    for order in orders:
        meet(world, order, "orders.confirm")
        assert world.journey(order) in (["pending", "cancelled"], ["pending", "confirmed", "cancelled"])
        assert outcome_of_wish(world, order) == "applied"
    assert world.stock(bowl.sku) == (1_000_000, 0)
    world.work_until_idle()
    assert {world.status(order) for order in orders} == {Status.CANCELLED}


def test_a_cancellation_and_the_shipping_meet_and_exactly_one_way_is_taken(world: World) -> None:
    bowl = world.product()
    orders = place_many(world, bowl.sku, "orders.confirm", "orders.process")
    ask_to_cancel(world, orders, Actor.STAFF)
    shipped = 0
    for order in orders:
        meet(world, order, "orders.ship")
        way, outcome = world.journey(order)[3:], outcome_of_wish(world, order)
        assert (way, outcome) in ((["cancelled"], "applied"), (["shipped"], "invalid_transition"))
        shipped += way == ["shipped"]
    assert world.stock(bowl.sku) == (1_000_000 - shipped, 0)
    world.work_until_idle()
    ends = [world.status(order) for order in orders]
    assert (ends.count(Status.DELIVERED), ends.count(Status.CANCELLED)) == (shipped, MANY_ROUNDS - shipped)


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
