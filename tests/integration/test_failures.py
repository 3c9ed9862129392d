"""Work that fails: the poisonous row alone waits and ends in the dead letters; its neighbours go through."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil, log2
from uuid import UUID

import pytest
from sqlalchemy import Connection, event
from world import World

from models import dead_letters, outbox, transition_requests
from models.advance import Step
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database, settings
from runtime.database import Role
from workers.app import app


@pytest.fixture
def broken(world: World) -> str:
    """A sku whose goods cannot leave, because somebody forbade it in the database."""
    return world.product(on_hand=10).sku


def break_stock(world: World, sku: str) -> None:
    world.sql(f"ALTER TABLE products ADD CONSTRAINT locked_up CHECK (sku <> '{sku}' OR on_hand = 10)")


@pytest.fixture(autouse=True)
def _mended(world: World) -> Iterator[None]:
    yield
    world.sql("ALTER TABLE products DROP CONSTRAINT IF EXISTS locked_up")


def bring_to_shipping(world: World, count: int, *skus: str) -> list[UUID]:
    user = world.user()
    orders = [world.place(user, {sku: 1}).id for sku in skus for _ in range(count)]
    world.work("orders.confirm")
    world.work("orders.process")
    return orders


def test_one_poisonous_row_does_not_stop_its_neighbours(world: World, broken: str) -> None:
    bowl = world.product()
    good = bring_to_shipping(world, 7, bowl.sku)
    [bad] = bring_to_shipping(world, 1, broken)
    break_stock(world, broken)
    world.work("orders.ship")
    assert {world.status(order) for order in good} == {Status.SHIPPED}
    assert world.status(bad) is Status.PROCESSING
    [row] = world.sql("SELECT attempts, last_error, available_at - now() FROM outbox WHERE order_id = :id", id=bad)
    assert row.attempts == 1
    assert "locked_up" in row.last_error
    assert timedelta(seconds=0) < row[2] <= timedelta(seconds=1)


@contextmanager
def transactions() -> Iterator[list[None]]:
    """The transactions that the worker begins while the block runs."""
    begun: list[None] = []

    def note(_connection: Connection) -> None:
        begun.append(None)

    with database.connect() as connection:
        engine = connection.engine
    event.listen(engine, "begin", note)
    try:
        yield begun
    finally:
        event.remove(engine, "begin", note)


def test_three_poisonous_rows_of_a_hundred_leave_97_done_at_the_cost_of_finding_them(world: World, broken: str) -> None:
    bowl = world.product()
    good = bring_to_shipping(world, 97, bowl.sku)
    bad = bring_to_shipping(world, 3, broken)
    break_stock(world, broken)
    by_order = {row.order_id: row.id for row in world.sql("SELECT id, order_id FROM outbox")}
    ids = [by_order[order] for order in good]
    for place, order in zip((5, 50, 95), bad, strict=True):
        ids.insert(place, by_order[order])
    with transactions() as begun:
        app.tasks["orders.ship"](ids)
    assert Counter(world.status(order) for order in good) == {Status.SHIPPED: 97}
    assert [world.status(order) for order in bad] == [Status.PROCESSING] * 3
    attempts = world.sql("SELECT attempts FROM outbox WHERE order_id = ANY(:ids)", ids=bad)
    assert [row.attempts for row in attempts] == [1, 1, 1]
    # The first try; for each poisonous row, two tries at each halving on the way to it; and one more to count it.
    assert len(begun) <= 1 + 3 * (2 * ceil(log2(100)) + 1)


def test_a_batch_without_poison_is_one_transaction(world: World) -> None:
    bring_to_shipping(world, 100, world.product().sku)
    ids = [row.id for row in world.due()]
    with transactions() as begun:
        app.tasks["orders.ship"](ids)
    assert len(begun) == 1


def test_a_message_that_comes_again_does_not_try_what_waits_for_its_back_off(world: World, broken: str) -> None:
    """Ten deliveries of a row that fails are not ten attempts, or it would be buried before anything could get well."""
    [bad] = bring_to_shipping(world, 1, broken)
    break_stock(world, broken)
    [row] = [due.id for due in world.due()]
    for _ in range(10):
        app.tasks["orders.ship"]([row])
    [[attempts]] = world.sql("SELECT attempts FROM outbox")
    assert attempts == 1
    world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")
    app.tasks["orders.ship"]([row])
    assert world.status(bad) is Status.PROCESSING, "nor is it done early"


def test_work_that_keeps_failing_ends_in_the_dead_letters_and_its_order_fails(world: World, broken: str) -> None:
    [bad] = bring_to_shipping(world, 1, broken)
    break_stock(world, broken)
    for _ in range(settings.current().max_attempts):
        world.sql("UPDATE outbox SET available_at = now()")
        world.work("orders.ship")
    [letter] = world.sql("SELECT kind, order_id, attempts, error, traceback, resolved_at FROM dead_letters")
    assert (letter.kind, letter.order_id, letter.attempts) == ("orders.ship", bad, 8)
    assert "IntegrityError" in letter.traceback
    assert world.sql("SELECT count(*) FROM outbox")[0][0] == 0
    assert world.journey(bad)[-1] == "failed"
    assert world.events(bad)[-1].reason == "attempts_exhausted"
    assert world.stock(broken) == (10, 0)


def test_an_order_that_cannot_even_fail_still_gets_its_dead_letter(world: World, broken: str) -> None:
    [bad] = bring_to_shipping(world, 1, broken)
    world.sql("UPDATE products SET on_hand = 0, reserved = 0")
    world.sql("UPDATE outbox SET attempts = 7")
    world.work("orders.ship")
    assert world.sql("SELECT order_id FROM dead_letters")[0][0] == bad
    assert world.status(bad) is Status.PROCESSING


def test_an_order_that_has_moved_on_does_not_fail_of_old_work(world: World) -> None:
    """Its letter is there; what died was not the order's work any more."""
    order = world.place(world.user(), {world.product().sku: 1}).id
    [[late]] = world.sql("SELECT id FROM outbox")
    assert world.move(Step(order, 1, Status.PENDING, Status.CONFIRMED))
    with database.transaction() as connection:
        dead_letters.bury(connection, [late], "x", None, world.policy)
    assert world.status(order) is Status.CONFIRMED
    assert [row.order_id for row in world.sql("SELECT order_id FROM dead_letters")] == [order]


def test_a_transition_that_nobody_gets_to_is_refused(world: World, broken: str) -> None:
    [bad] = bring_to_shipping(world, 1, broken)
    clerk = world.user()
    world.sql("DELETE FROM outbox")
    wish = Wish(Status.SHIPPED, Actor.STAFF, clerk.id, tracking_number="T")
    with database.transaction(Role.API) as connection:
        _, asked = transition_requests.ask(connection, bad, None, wish)
    break_stock(world, broken)
    world.sql("UPDATE outbox SET attempts = 7")
    world.work("orders.transition")
    [request] = world.sql("SELECT id, state, refusal FROM transition_requests")
    assert asked is not None
    assert tuple(request) == (asked.id, "refused", "attempts_exhausted")
    assert world.status(bad) is Status.FAILED


def test_each_attempt_waits_twice_as_long_and_never_longer_than_five_minutes(world: World) -> None:
    bowl = world.product()
    world.place(world.user(), {bowl.sku: 1})
    [row] = world.due()
    waits = []
    for _ in range(12):
        with database.transaction() as connection:
            outbox.postpone(connection, [row.id], "tried")
            waits.append(connection.exec_driver_sql("SELECT available_at - clock_timestamp() FROM outbox").scalar_one())
    seconds = [round(wait.total_seconds()) for wait in waits]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_row_that_another_delivery_holds_is_not_taken(world: World) -> None:
    bowl, user = world.product(), world.user()
    first, second = world.place(user, {bowl.sku: 1}), world.place(user, {bowl.sku: 1})
    held, free = (row.id for row in world.due())
    with database.transaction() as holder:
        assert [work.order_id for work in outbox.take(holder, [held])] == [first.id]
        app.tasks["orders.confirm"]([held, free])
    assert (world.status(first.id), world.status(second.id)) == (Status.PENDING, Status.CONFIRMED)


def test_stale_work_does_nothing(world: World) -> None:
    bowl = world.product()
    order = world.place(world.user(), {bowl.sku: 1})
    world.work_until_idle()
    with database.transaction() as connection:
        outbox.put(connection, "orders.confirm", order.id, expected_version=1)
        outbox.put(connection, "orders.ship", order.id, expected_version=3)
    world.work_until_idle()
    assert world.journey(order.id) == ["pending", "confirmed", "processing", "shipped", "delivered"]
    assert world.stock(bowl.sku) == (999_999, 0)
