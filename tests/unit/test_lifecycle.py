"""The lifecycle is data; these are the sentences that must be true of it, whatever is added."""

import pytest

from models.lifecycle import BY_ENDS, FINAL, MOVES, REVENUE, Actor, Policy, Status, StockEffect, allowed_from
from runtime.settings import Confirmation

BEGINNING = Status.PENDING
HOLDS_STOCK = {Status.CONFIRMED, Status.PROCESSING}


def reachable_from(status: Status) -> set[Status]:
    reached: set[Status] = set()
    open_ends = {status}
    while open_ends:
        open_ends = {move.target for move in MOVES if move.source in open_ends} - reached
        reached |= open_ends
    return reached


def test_no_move_is_listed_twice() -> None:
    assert len(BY_ENDS) == len(MOVES)


def test_every_status_can_be_reached() -> None:
    assert reachable_from(BEGINNING) | {BEGINNING} == set(Status)


def test_nothing_leaves_a_final_status_and_every_other_one_can_be_left() -> None:
    assert {move.source for move in MOVES} == set(Status) - FINAL


def test_every_order_can_still_end() -> None:
    assert all(reachable_from(status) & FINAL for status in set(Status) - FINAL)


def test_stock_is_reserved_exactly_while_an_order_is_confirmed_or_processing() -> None:
    for move in MOVES:
        enters, leaves = move.target in HOLDS_STOCK, move.source in HOLDS_STOCK
        expected = {
            (True, False): {StockEffect.RESERVE},
            (False, True): {StockEffect.RELEASE, StockEffect.TAKE},
        }.get((enters, leaves), {StockEffect.NONE})
        assert move.stock in expected, move


def test_goods_leave_only_when_an_order_ships() -> None:
    assert {move.target for move in MOVES if move.stock is StockEffect.TAKE} == {Status.SHIPPED}


def test_only_the_system_expires_and_fails_orders() -> None:
    assert all(move.by == {Actor.SYSTEM} for move in MOVES if move.target in (Status.EXPIRED, Status.FAILED))


def test_an_owner_can_do_nothing_but_cancel() -> None:
    assert {move.target for move in MOVES if Actor.OWNER in move.by} == {Status.CANCELLED}


def test_revenue_counts_orders_that_hold_or_have_taken_stock() -> None:
    assert HOLDS_STOCK | {Status.SHIPPED, Status.DELIVERED} == REVENUE


@pytest.mark.parametrize(
    ("status", "actor", "targets"),
    [
        (Status.PENDING, Actor.OWNER, (Status.CANCELLED,)),
        (Status.PROCESSING, Actor.OWNER, ()),
        (Status.PROCESSING, Actor.STAFF, (Status.SHIPPED, Status.CANCELLED)),
        (Status.DELIVERED, Actor.STAFF, ()),
    ],
)
def test_what_an_actor_may_do_next(status: Status, actor: Actor, targets: tuple[Status, ...]) -> None:
    assert allowed_from(status, actor) == targets


def test_with_manual_confirmation_nothing_happens_to_a_pending_order_by_itself() -> None:
    assert Policy(confirmation=Confirmation.MANUAL).follow_up(Status.PENDING) is None


def test_without_the_autopilot_goods_wait_for_people() -> None:
    policy = Policy(autopilot=False)
    assert policy.follow_up(Status.PROCESSING) is None
    assert policy.follow_up(Status.SHIPPED) is None


@pytest.mark.parametrize("status", Status)
def test_follow_up_work_is_for_moves_the_system_may_make(status: Status) -> None:
    targets = {
        "orders.confirm": Status.CONFIRMED,
        "orders.process": Status.PROCESSING,
        "orders.ship": Status.SHIPPED,
        "orders.deliver": Status.DELIVERED,
    }
    follow_up = Policy(autopilot=True).follow_up(status)
    assert follow_up is None or targets[follow_up.kind] in allowed_from(status, Actor.SYSTEM)


@pytest.mark.parametrize("status", sorted(set(Status) - FINAL))
def test_every_status_that_is_not_final_has_a_deadline(status: Status) -> None:
    assert Policy().deadline(status) is not None
