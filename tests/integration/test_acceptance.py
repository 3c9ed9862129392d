"""What `acceptance.accept` promises of a batch: each request its own outcome, and nothing half done."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import Connection, event, text
from world import World

from models import acceptance, errors
from models.acceptance import Answer, Request, Terms
from models.lifecycle import Actor
from runtime import database
from runtime.database import Role

EVERYTHING = ("orders", "order_items", "order_events", "outbox", "idempotency_keys")


def rows(world: World) -> dict[str, int]:
    return {table: world.sql(f"SELECT count(*) FROM {table}")[0][0] for table in EVERYTHING}


def test_an_accepted_order_is_whole(world: World) -> None:
    bowl, cup = world.product(price_minor=4200), world.product(price_minor=990)
    user = world.user()
    placed = world.place(user, {bowl.sku: 2, cup.sku: 3}, client_reference="A-1", metadata={"gift": "yes"})
    order = world.order(placed.id)
    assert (order.user_id, order.status, order.version, order.total_minor) == (user.id, "pending", 1, 11370)
    assert [(line.sku, line.quantity, line.unit_price_minor) for line in order.lines] == [
        (bowl.sku, 2, 4200),
        (cup.sku, 3, 990),
    ]
    assert order.metadata == {"gift": "yes"}
    assert rows(world) == {
        "orders": 1,
        "order_items": 2,
        "order_events": 1,
        "outbox": 1,
        "idempotency_keys": 1,
    }
    assert [row.kind for row in world.due()] == ["orders.confirm"]


def test_a_later_price_does_not_change_an_order(world: World) -> None:
    bowl = world.product(price_minor=4200)
    placed = world.place(world.user(), {bowl.sku: 1})
    world.product(bowl.sku, price_minor=1)
    assert world.order(placed.id).total_minor == 4200


def test_every_request_of_a_batch_gets_its_own_outcome(world: World) -> None:
    bowl, yen = world.product(), world.product(currency="JPY")
    off_sale = world.product(active=False)
    user, other = world.user(), world.user()
    taken = world.place(user, {bowl.sku: 1}, client_reference="taken")
    batch = [
        world.request(user, {bowl.sku: 1}),
        world.request(user, {"NOT-THERE": 1}),
        world.request(user, {off_sale.sku: 1}),
        world.request(user, {bowl.sku: 1, yen.sku: 1}),
        world.request(user, {bowl.sku: 1}, client_reference="taken"),
        world.request(other, {bowl.sku: 1}, client_reference="taken"),
        taken.request,
        world.request(user, {bowl.sku: 2}, key=taken.request.key, fingerprint=b"another"),
    ]
    outcomes = world.accept(*batch)
    statuses = [outcome.status if isinstance(outcome, Answer) else type(outcome) for outcome in outcomes]
    assert statuses == [201, 422, 422, 422, 409, 201, 201, errors.IdempotencyKeyReused]
    assert outcomes[6] == Answer(201, taken.answer.body, taken.id, replayed=True)
    assert rows(world)["orders"] == 3


def test_the_same_key_twice_in_one_batch_is_one_order(world: World) -> None:
    bowl = world.product()
    request = world.request(world.user(), {bowl.sku: 1})
    first, second = world.accept(request, request)
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.body == second.body
    assert len(world.orders()) == 1


def test_a_key_belongs_to_its_user(world: World) -> None:
    bowl = world.product()
    first = world.place(world.user(), {bowl.sku: 1}, key="shared")
    second = world.place(world.user(), {bowl.sku: 1}, key="shared")
    assert first.id != second.id


def test_a_refusal_decided_after_the_claim_is_stored(world: World) -> None:
    user = world.user()
    request = world.request(user, {"LATER": 1})
    [refused] = world.accept(request)
    world.product("LATER")
    [again] = world.accept(request)
    assert isinstance(refused, Answer)
    assert isinstance(again, Answer)
    assert (again.status, again.body, again.replayed) == (422, refused.body, True)


def test_an_expired_key_can_be_used_again(world: World) -> None:
    bowl = world.product()
    first = world.place(world.user(), {bowl.sku: 1})
    world.sql("UPDATE idempotency_keys SET expires_at = now()")
    [again] = world.accept(first.request)
    assert isinstance(again, Answer)
    assert not again.replayed
    assert again.order_id != first.id


def test_a_key_held_by_an_open_transaction_is_in_progress(world: World) -> None:
    bowl = world.product()
    request = world.request(world.user(), {bowl.sku: 1})
    with database.transaction(Role.API) as holder:
        acceptance.accept(holder, [request], world.terms)
        with pytest.raises(errors.IdempotencyInProgress), database.transaction(Role.API) as waiter:
            waiter.execute(text("SET LOCAL lock_timeout = '100ms'"))
            acceptance.accept(waiter, [request], world.terms)
    [again] = world.accept(request)
    assert isinstance(again, Answer)
    assert again.replayed


def test_a_rolled_back_claim_leaves_nothing_behind(world: World) -> None:
    bowl = world.product()
    request = world.request(world.user(), {bowl.sku: 1})
    with pytest.raises(ZeroDivisionError), database.transaction(Role.API) as connection:
        acceptance.accept(connection, [request], world.terms)
        _ = 1 / 0
    assert rows(world) == dict.fromkeys(EVERYTHING, 0)


def statements_for(world: World, terms: Terms, *batch: Request) -> int:
    """How many statements it takes to accept a batch."""
    statements: list[str] = []

    def note(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with database.transaction(Role.API) as connection:
        event.listen(connection, "before_cursor_execute", note)
        acceptance.accept(connection, batch, terms)
    return len(statements)


def test_a_batch_is_one_statement_once_its_prices_are_known_and_so_are_its_retries(world: World) -> None:
    bowl, user, terms = world.product(), world.user(), world.terms
    batch = [world.request(user, {bowl.sku: 1}) for _ in range(50)]
    assert statements_for(world, terms, *batch[:25]) == 2
    assert statements_for(world, terms, *batch[25:]) == 1
    assert statements_for(world, terms, *batch) == 1
    assert len(world.orders()) == 50


def test_no_order_is_made_at_a_price_that_is_only_remembered(world: World) -> None:
    bowl, user, terms = world.product(price_minor=4200), world.user(), world.terms
    world.accept(world.request(user, {bowl.sku: 1}), terms=terms)
    world.product(bowl.sku, price_minor=100)
    world.accept(world.request(user, {bowl.sku: 1}), terms=terms)
    world.product(bowl.sku, price_minor=100, name="A bowl")
    world.accept(world.request(user, {bowl.sku: 1}), terms=terms)
    world.product(bowl.sku, active=False)
    [refused] = world.accept(world.request(user, {bowl.sku: 1}), terms=terms)
    assert isinstance(refused, Answer)
    assert refused.status == 422
    assert [(order.total_minor, order.lines[0].name) for order in world.orders()] == [
        (4200, bowl.name),
        (100, bowl.name),
        (100, "A bowl"),
    ]


def test_a_product_is_for_sale_from_the_moment_it_is_put_there(world: World) -> None:
    user, terms = world.user(), world.terms
    [refused] = world.accept(world.request(user, {"NEW": 1}), terms=terms)
    world.product("NEW")
    [accepted] = world.accept(world.request(user, {"NEW": 1}), terms=terms)
    assert [isinstance(each, Answer) and each.status for each in (refused, accepted)] == [422, 201]


def test_of_many_orders_with_one_reference_in_a_batch_one_is_placed_and_the_others_name_it(world: World) -> None:
    bowl, user = world.product(), world.user()
    batch = [world.request(user, {bowl.sku: 1}, client_reference="A-1") for _ in range(30)]
    first, *others = [outcome for outcome in world.accept(*batch) if isinstance(outcome, Answer)]
    assert first.status == 201
    assert [other.status for other in others] == [409] * 29
    assert {json.loads(other.body)["order"] for other in others} == {f"/v1/orders/{first.order_id}"}
    assert len(world.orders()) == 1


def test_a_reference_is_not_taken_by_an_order_that_was_refused(world: World) -> None:
    bowl, user = world.product(), world.user()
    batch = [world.request(user, {sku: 1}, client_reference="A-1") for sku in ("NOT-THERE", bowl.sku, bowl.sku)]
    outcomes = [outcome.status for outcome in world.accept(*batch) if isinstance(outcome, Answer)]
    assert outcomes == [422, 201, 409]


def test_an_order_is_dated_by_the_reporting_zone_at_acceptance(world: World) -> None:
    bowl = world.product()
    order = world.order(world.place(world.user(), {bowl.sku: 1}, actor=Actor.STAFF).id)
    assert order.placed_on == order.placed_at.date()
    [[stays]] = world.sql("SELECT o.due_at - e.at FROM orders AS o JOIN order_events AS e ON e.order_id = o.id")
    assert stays == timedelta(minutes=5)
    assert world.events(order.id)[0].actor == "staff"
