"""What was asked for beside a transition was taken as it came (25 November 2026).

A customer who cancelled an order could give it a tracking number, which the order then showed for ever: only a
shipment has one, and only staff ship. Where a reason or a tracking number is required, a few blanks were one. And a
wish that was legal without a reason when it was asked, but needed one when a worker came to it, was recorded as
`reason_required` and told to whoever waited as `invalid_transition`, with that very move among the allowed ones.
"""

from typing import Any

import pytest
from world import World

from models import errors, transition_requests
from models.lifecycle import Actor, Status
from models.transition_requests import RequestState, TransitionRequest, Wish
from runtime import database
from runtime.database import Role


class Case:
    """A new order, its owner, and somebody of the staff."""

    def __init__(self, world: World) -> None:
        bowl, self.owner = world.product(), world.user()
        self.clerk = world.user()
        self.world, self.order_id = world, world.place(self.owner, {bowl.sku: 1}).id

    def ask(self, to: Status, actor: Actor, **more: Any) -> TransitionRequest:
        wish = Wish(to, actor, (self.owner if actor is Actor.OWNER else self.clerk).id, **more)
        with database.transaction(Role.API) as connection:
            _, request = transition_requests.ask(connection, self.order_id, None, wish)
        assert request is not None
        return request

    def process(self) -> None:
        self.world.work("orders.confirm")
        self.world.work("orders.process")


@pytest.fixture
def case(world: World) -> Case:
    return Case(world)


@pytest.mark.parametrize("actor", [Actor.OWNER, Actor.STAFF])
def test_a_cancellation_gives_an_order_no_tracking_number(case: Case, actor: Actor) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        case.ask(Status.CANCELLED, actor, reason="r", tracking_number="MINE-1")
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/tracking_number"]


@pytest.mark.parametrize("blanks", [" ", "   ", "\u2003"])
def test_blanks_are_neither_a_reason_nor_a_tracking_number(case: Case, blanks: str) -> None:
    case.process()
    with pytest.raises(errors.ReasonRequired):
        case.ask(Status.CANCELLED, Actor.STAFF, reason=blanks)
    with pytest.raises(errors.TrackingNumberRequired):
        case.ask(Status.SHIPPED, Actor.STAFF, tracking_number=blanks)


def test_who_waits_hears_that_a_reason_is_needed_by_now(case: Case) -> None:
    asked = case.ask(Status.CANCELLED, Actor.STAFF)
    case.process()
    case.world.work("orders.transition")
    with database.transaction(Role.API) as connection:
        seen = transition_requests.get(connection, case.order_id, asked.id)
    assert (seen.state, seen.refusal) == (RequestState.REFUSED, "reason_required")
    refusal = transition_requests.refusal(seen, case.world.order(case.order_id))
    assert isinstance(refusal, errors.ReasonRequired)
