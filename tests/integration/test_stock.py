"""Stock follows the orders: reserved, given back or taken exactly once."""

from collections.abc import Iterator
from functools import partial

import pytest
from at_once import at_once
from sqlalchemy.exc import IntegrityError
from world import World, empty_database

from models import transition_requests
from models.advance import Step
from models.lifecycle import MOVES, Actor, Move, Status, StockEffect
from models.transition_requests import Wish
from runtime import database
from runtime.database import Role
from workers.app import app


def bring_to(world: World, status: Status, sku: str, quantity: int) -> Step:
    """An order in `status`, and a step from there that does not exist yet but for its order, version and source."""
    order = world.place(world.user(), {sku: quantity})
    path = {
        Status.PENDING: [],
        Status.CONFIRMED: ["orders.confirm"],
        Status.PROCESSING: ["orders.confirm", "orders.process"],
        Status.SHIPPED: ["orders.confirm", "orders.process", "orders.ship"],
    }
    for kind in path[status]:
        world.work(kind)
    return Step(order.id, len(path[status]) + 1, status, status)


@pytest.mark.parametrize(
    "move",
    [move for move in MOVES if move.source is not Status.FAILED],
    ids=lambda move: f"{move.source}-{move.target}",
)
def test_each_move_changes_the_stock_as_the_table_says(world: World, move: Move) -> None:
    bowl = world.product(on_hand=10)
    step = bring_to(world, move.source, bowl.sku, 3)
    on_hand, reserved = world.stock(bowl.sku)
    target = Step(step.order_id, step.version, move.source, move.target, tracking_number="T")
    assert world.move(target) == [target]
    on_hand_change, reserved_change = {
        StockEffect.NONE: (0, 0),
        StockEffect.RESERVE: (0, 3),
        StockEffect.RELEASE: (0, -3),
        StockEffect.TAKE: (-3, -3),
    }[move.stock]
    assert world.stock(bowl.sku) == (on_hand + on_hand_change, reserved + reserved_change)
    assert world.move(target) == [], "the same step a second time does nothing"
    assert world.stock(bowl.sku) == (on_hand + on_hand_change, reserved + reserved_change)


def test_an_order_is_confirmed_whole_or_not_at_all(world: World) -> None:
    plenty, scarce = world.product(), world.product(on_hand=1)
    order = world.place(world.user(), {plenty.sku: 5, scarce.sku: 2})
    world.work("orders.confirm")
    assert world.journey(order.id) == ["pending", "cancelled"]
    assert world.stock(plenty.sku) == (1_000_000, 0)


def test_short_stock_goes_to_who_came_first_within_one_batch(world: World) -> None:
    scarce, user = world.product(on_hand=3), world.user()
    placed = [world.place(user, {scarce.sku: quantity}).id for quantity in (2, 2, 1)]
    world.move(*[Step(order, 1, Status.PENDING, Status.CONFIRMED) for order in placed])
    statuses = [world.status(order) for order in placed]
    assert statuses == [Status.CONFIRMED, Status.CANCELLED, Status.CONFIRMED]


def test_a_failed_order_that_is_tried_again_reserves_again(world: World) -> None:
    bowl = world.product(on_hand=10)
    step = bring_to(world, Status.PROCESSING, bowl.sku, 3)
    world.move(Step(step.order_id, 3, Status.PROCESSING, Status.FAILED))
    assert world.stock(bowl.sku) == (10, 0)
    world.move(Step(step.order_id, 4, Status.FAILED, Status.PENDING, Actor.STAFF, reason="carrier is back"))
    world.work_until_idle()
    assert world.status(step.order_id) is Status.DELIVERED
    assert world.stock(bowl.sku) == (7, 0)


def test_the_database_itself_refuses_to_promise_more_than_there_is(world: World) -> None:
    bowl = world.product(on_hand=10)
    with pytest.raises(IntegrityError, match="reserved_within_on_hand"):
        world.sql("UPDATE products SET reserved = 11 WHERE sku = :sku", sku=bowl.sku)


def test_the_database_itself_refuses_a_move_that_is_not_in_the_lifecycle(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    with pytest.raises(IntegrityError, match="fk_order_events_from_status_to_status"):
        world.sql(
            "INSERT INTO order_events (order_id, version, from_status, to_status, actor, amount_minor, currency,"
            " user_id, placed_on) SELECT id, 2, 'pending', 'delivered', 'system', 1, 'EUR', user_id, placed_on"
            " FROM orders WHERE id = :id",
            id=order.id,
        )


def test_work_delivered_five_times_at_once_reserves_takes_and_gives_back_once(world: World) -> None:
    scarce, user, clerk = world.product(on_hand=5), world.user(), world.user()
    placed = [world.place(user, {scarce.sku: 1}).id for _ in range(8)]

    def deliver_five_times(kind: str) -> None:
        ids = [row.id for row in world.due() if row.kind == kind]
        assert ids
        at_once(*[partial(app.tasks[kind], ids)] * 5)

    deliver_five_times("orders.confirm")
    assert world.stock(scarce.sku) == (5, 5)
    deliver_five_times("orders.process")
    held = [order for order in placed if world.status(order) is Status.PROCESSING]
    with database.transaction(Role.API) as connection:
        transition_requests.ask(connection, held[0], None, Wish(Status.CANCELLED, Actor.STAFF, clerk.id, reason="lost"))
    deliver_five_times("orders.transition")
    assert world.stock(scarce.sku) == (5, 4)
    deliver_five_times("orders.ship")
    assert world.stock(scarce.sku) == (1, 0)
    assert sorted(map(world.status, placed)) == [Status.CANCELLED] * 4 + [Status.SHIPPED] * 4


@pytest.fixture
def _no_second_line_of_defence(world: World) -> Iterator[None]:
    """Without the CHECK, what is left is the lock on the products."""
    table, name = "products", "ck_products_reserved_within_on_hand"
    [[definition]] = world.sql(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{name}'")
    world.sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    empty_database()
    world.sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


@pytest.mark.usefixtures("_no_second_line_of_defence")
def test_two_batches_at_once_for_the_same_pieces_wait_for_each_other(world: World) -> None:
    user, confirm = world.user(), app.tasks["orders.confirm"]
    for _ in range(20):
        scarce = world.product(on_hand=10)
        world.accept(*[world.request(user, {scarce.sku: 1}) for _ in range(30)])
        ids = [row.id for row in world.due() if row.kind == "orders.confirm"]
        at_once(partial(confirm, ids[::2]), partial(confirm, ids[1::2]))
        assert world.stock(scarce.sku) == (10, 10)
