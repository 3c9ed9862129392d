"""What people ask for: checked when asked, decided when a worker gets to it."""

from uuid import UUID

import pytest
from world import World

from models import errors, transition_requests
from models.identity.users import User
from models.lifecycle import Actor, Status
from models.transition_requests import RequestState, TransitionRequest, Wish
from runtime import database
from runtime.database import Role


def ask(world: World, order_id: UUID, by: User, to: Status, **values: object) -> TransitionRequest:
    wish = Wish(to, values.pop("actor", Actor.OWNER), by.id, **values)  # type: ignore[arg-type]
    with database.transaction(Role.API) as connection:
        _, request = transition_requests.ask(connection, order_id, None, wish)
    assert request is not None
    return request


def outcome(request: TransitionRequest) -> tuple[RequestState, str | None]:
    with database.transaction(Role.API) as connection:
        seen = transition_requests.get(connection, request.order_id, request.id)
    return seen.state, seen.refusal


def test_an_owner_cancels_a_pending_order(world: World) -> None:
    bowl, user = world.product(), world.user()
    order = world.place(user, {bowl.sku: 1})
    request = ask(world, order.id, user, Status.CANCELLED, reason="changed my mind")
    assert outcome(request) == (RequestState.PENDING, None)
    world.work("orders.transition")
    assert outcome(request) == (RequestState.APPLIED, None)
    last = world.events(order.id)[-1]
    assert (last.to_status, last.actor, last.reason) == ("cancelled", "owner", "changed my mind")


def test_what_was_legal_when_asked_is_refused_when_the_order_has_moved_on(world: World) -> None:
    bowl, user = world.product(), world.user()
    order = world.place(user, {bowl.sku: 1})
    request = ask(world, order.id, user, Status.CANCELLED)
    for kind in ("orders.confirm", "orders.process", "orders.transition"):
        world.work(kind)
    assert outcome(request) == (RequestState.REFUSED, "invalid_transition")
    assert world.status(order.id) is Status.PROCESSING


def test_a_request_for_an_older_version_is_refused_as_stale(world: World) -> None:
    bowl, user = world.product(), world.user()
    order = world.place(user, {bowl.sku: 1})
    request = ask(world, order.id, user, Status.CANCELLED, expected_versions=frozenset({1}))
    world.work("orders.confirm")
    world.work("orders.transition")
    assert outcome(request) == (RequestState.REFUSED, "stale_version")


def test_two_requests_for_one_order_are_settled_in_turn(world: World) -> None:
    bowl, user, clerk = world.product(), world.user(), world.user()
    order = world.place(user, {bowl.sku: 1})
    first = ask(world, order.id, user, Status.CANCELLED)
    second = ask(world, order.id, clerk, Status.CONFIRMED, actor=Actor.STAFF)
    world.work("orders.transition")
    assert outcome(second) == (RequestState.PENDING, None), "one move of an order in one transaction"
    world.work("orders.transition")
    assert outcome(first) == (RequestState.APPLIED, None)
    assert outcome(second) == (RequestState.REFUSED, "invalid_transition")


def test_a_confirmation_by_hand_that_finds_no_stock_is_refused_and_the_order_cancelled(world: World) -> None:
    scarce, user = world.product(on_hand=0), world.user()
    order = world.place(user, {scarce.sku: 1})
    request = ask(world, order.id, user, Status.CONFIRMED, actor=Actor.STAFF)
    world.work("orders.transition")
    assert outcome(request) == (RequestState.REFUSED, "out_of_stock")
    assert world.status(order.id) is Status.CANCELLED


def test_shipping_by_hand_keeps_the_tracking_number(world: World) -> None:
    bowl, clerk = world.product(), world.user()
    order = world.place(clerk, {bowl.sku: 1})
    world.work("orders.confirm")
    world.work("orders.process")
    ask(world, order.id, clerk, Status.SHIPPED, actor=Actor.STAFF, tracking_number="TRACK-1")
    world.work("orders.transition")
    world.work_until_idle()
    assert world.order(order.id).tracking_number == "TRACK-1"
    assert world.journey(order.id) == ["pending", "confirmed", "processing", "shipped", "delivered"]


@pytest.mark.parametrize(
    ("steps", "to", "actor", "error"),
    [
        ([], Status.SHIPPED, Actor.STAFF, errors.InvalidTransition),
        ([], Status.CONFIRMED, Actor.OWNER, errors.InvalidTransition),
        (["orders.confirm", "orders.process"], Status.CANCELLED, Actor.OWNER, errors.InvalidTransition),
        (["orders.confirm", "orders.process"], Status.CANCELLED, Actor.STAFF, errors.ReasonRequired),
        (["orders.confirm", "orders.process"], Status.SHIPPED, Actor.STAFF, errors.TrackingNumberRequired),
    ],
)
def test_an_illegal_wish_leaves_no_trace(
    world: World, steps: list[str], to: Status, actor: Actor, error: type[Exception]
) -> None:
    bowl, user = world.product(), world.user()
    order = world.place(user, {bowl.sku: 1})
    for kind in steps:
        world.work(kind)
    with pytest.raises(error):
        ask(world, order.id, user, to, actor=actor)
    assert world.sql("SELECT count(*) FROM transition_requests")[0][0] == 0
    assert "orders.transition" not in {row.kind for row in world.due()}


def test_asking_for_what_is_already_so_asks_for_nothing(world: World) -> None:
    bowl, user = world.product(), world.user()
    order = world.place(user, {bowl.sku: 1})
    world.work_until_idle()
    with database.transaction(Role.API) as connection:
        wish = Wish(Status.DELIVERED, Actor.STAFF, user.id)
        seen, request = transition_requests.ask(connection, order.id, None, wish)
    assert (seen.status, request) == (Status.DELIVERED, None)
