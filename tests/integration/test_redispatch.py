"""G5, the second line: work whose outbox row is gone is asked for again, and nothing else is."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from log_lines import log_of_task
from world import Placed, World

from models import outbox, redispatch, transition_requests
from models.advance import Step
from models.lifecycle import Actor, Status
from models.redispatch import Redispatched
from models.transition_requests import Wish
from runtime import database
from runtime.database import Role
from runtime.settings import Confirmation


def overstay(world: World) -> None:
    """Much time passes."""
    world.sql("UPDATE orders SET due_at = now() - interval '1 second' WHERE due_at IS NOT NULL")
    world.sql("UPDATE transition_requests SET created_at = now() - interval '1 hour'")


def again(world: World, limit: int = redispatch.ROWS_PER_SWEEP) -> Redispatched:
    with database.transaction() as connection:
        return redispatch.redispatch(connection, world.policy, limit)


def waiting(world: World) -> list[tuple[str, UUID, int]]:
    rows = world.sql("SELECT kind, order_id, expected_version FROM outbox ORDER BY id")
    return [tuple(row) for row in rows]


def placed(world: World) -> Placed:
    return world.place(world.user(), {world.product().sku: 1})


def ask_to_cancel(world: World, order_id: UUID) -> None:
    with database.transaction(Role.API) as connection:
        transition_requests.ask(connection, order_id, None, Wish(Status.CANCELLED, Actor.STAFF, world.user().id))


def test_g5_an_order_whose_work_was_lost_is_delivered_after_all(world: World) -> None:
    order = placed(world)
    world.sql("DELETE FROM outbox")
    overstay(world)
    world.sql("INSERT INTO outbox (kind) VALUES ('upkeep.redispatch')")
    world.work_until_idle()
    assert world.status(order.id) is Status.DELIVERED


def test_the_sweep_says_so_in_the_log(world: World) -> None:
    order = placed(world)
    overstay(world)
    assert log_of_task("upkeep.redispatch") == []
    world.sql("DELETE FROM outbox")
    [line] = log_of_task("upkeep.redispatch")
    assert (line["level"], line["event"], line["moves"], line["orders"]) == (
        "warning",
        "lost work is asked for again",
        1,
        [str(order.id)],
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.PENDING, "orders.confirm"),
        (Status.CONFIRMED, "orders.process"),
        (Status.PROCESSING, "orders.ship"),
        (Status.SHIPPED, "orders.deliver"),
    ],
)
def test_the_work_is_that_of_the_orders_status_and_version(world: World, status: Status, kind: str) -> None:
    order = placed(world)
    while world.status(order.id) is not status:
        assert world.work()
    world.sql("DELETE FROM outbox")
    overstay(world)
    assert again(world).moves == [order.id]
    assert waiting(world) == [(kind, order.id, world.order(order.id).version)]


def test_an_order_that_has_its_work_or_its_time_is_left_alone(world: World) -> None:
    placed(world)
    assert again(world).most == 0
    overstay(world)
    assert again(world).most == 0, "late, and waiting for its turn"
    world.sql("UPDATE orders SET due_at = now() + interval '1 minute'")
    world.sql("DELETE FROM outbox")
    assert again(world).most == 0, "its time is not over, whatever became of the row"


def test_work_is_asked_for_once_however_often_one_looks(world: World) -> None:
    placed(world)
    world.sql("DELETE FROM outbox")
    overstay(world)
    assert [again(world).most for _ in range(3)] == [1, 0, 0]
    assert len(waiting(world)) == 1


def test_an_order_that_people_have_is_left_to_them(world: World) -> None:
    world.policy = replace(world.policy, autopilot=False)
    order = placed(world)
    world.move(Step(order.id, 1, Status.PENDING, Status.CONFIRMED))
    world.move(Step(order.id, 2, Status.CONFIRMED, Status.PROCESSING))
    failed = placed(world)
    world.move(Step(failed.id, 1, Status.PENDING, Status.FAILED))
    world.sql("DELETE FROM outbox")
    overstay(world)
    assert again(world).most == 0


def test_orders_placed_under_manual_confirmation_are_confirmed_when_it_becomes_automatic(world: World) -> None:
    automatic = world.policy
    world.policy = replace(world.policy, confirmation=Confirmation.MANUAL)
    order = placed(world)
    overstay(world)
    assert again(world).most == 0
    world.policy = automatic
    assert again(world).moves == [order.id]


def test_work_for_another_version_or_of_another_kind_does_not_count(world: World) -> None:
    order = placed(world)
    world.sql("UPDATE outbox SET expected_version = 7")
    ask_to_cancel(world, order.id)
    overstay(world)
    assert again(world) == Redispatched([order.id], [], 0)


@pytest.mark.parametrize(
    ("resolved", "version", "found"), [(None, 1, 0), ("discarded", 1, 0), ("replayed", 1, 1), (None, 7, 1)]
)
def test_a_dead_letter_waits_for_a_person_and_what_is_discarded_stays_undone(
    world: World, resolved: str | None, version: int, found: int
) -> None:
    order = placed(world)
    world.sql("DELETE FROM outbox")
    world.sql(
        "INSERT INTO dead_letters (kind, order_id, expected_version, error, attempts, first_at, last_at)"
        " VALUES ('orders.confirm', :order, :version, '', 8, now(), now())",
        order=order.id,
        version=version,
    )
    if resolved:
        world.sql("UPDATE dead_letters SET resolved_at = now(), resolved_by = 'x', resolved_how = :how", how=resolved)
    overstay(world)
    assert again(world).most == found


def test_a_request_whose_work_was_lost_is_settled_after_all(world: World) -> None:
    world.policy = replace(world.policy, confirmation=Confirmation.MANUAL)
    order = placed(world)
    ask_to_cancel(world, order.id)
    ask_to_cancel(world, order.id)
    world.sql("DELETE FROM outbox")
    assert again(world).most == 0, "it was asked for just now"
    overstay(world)
    assert again(world).transitions == [order.id]
    assert again(world).most == 0
    world.work_until_idle()
    assert world.status(order.id) is Status.CANCELLED
    assert world.sql("SELECT DISTINCT state FROM transition_requests") == [("applied",)]


def test_a_sweep_takes_a_bounded_bite_and_the_oldest_first(world: World) -> None:
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(5)])
    world.sql("DELETE FROM outbox")
    overstay(world)
    oldest = world.orders()[3].id
    world.sql("UPDATE orders SET due_at = now() - interval '1 day' WHERE id = :oldest", oldest=oldest)
    bites = [again(world, limit=2) for _ in range(4)]
    assert [bite.most for bite in bites] == [2, 2, 1, 0]
    assert bites[0].moves[0] == oldest


def test_a_sweep_that_was_full_asks_for_the_next_one_at_once(world: World) -> None:
    world.sql(
        "INSERT INTO outbox (kind, order_id, available_at)"
        " SELECT 'orders.confirm', gen_random_uuid(), now() + interval '1 hour' FROM generate_series(1, :rows)",
        rows=redispatch.ROWS_PER_SWEEP + 1,
    )
    world.sql("INSERT INTO outbox (kind) VALUES ('upkeep.redispatch')")
    assert [world.work("upkeep.redispatch") for _ in range(3)] == [1, 1, 0]
    assert len(world.due()) == redispatch.ROWS_PER_SWEEP + 1


def test_work_that_a_stepped_clock_left_in_the_future_is_recalled(world: World) -> None:
    order = placed(world)
    world.sql("UPDATE outbox SET available_at = now() + interval '1 hour'")
    assert world.due() == []
    assert again(world).recalled == 1
    assert [row.kind for row in world.due()] == ["orders.confirm"]
    assert world.status(order.id) is Status.PENDING


def test_work_that_was_put_off_by_a_failure_or_by_the_autopilot_is_not_recalled(world: World) -> None:
    world.policy = replace(world.policy, dwell=timedelta(minutes=30))
    placed(world)
    [row] = world.due()
    with database.transaction() as connection:
        for _ in range(20):
            outbox.postpone(connection, [row.id], "")
    world.sql("INSERT INTO outbox (kind, order_id, available_at) VALUES ('x', uuidv7(), now() + interval '34 minutes')")
    assert again(world).recalled == 0
