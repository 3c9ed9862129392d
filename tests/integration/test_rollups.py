"""The aggregates equal a recount of the raw orders, whoever writes meanwhile."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Event
from uuid import UUID

import pytest
import sqlalchemy
from recounts import RECOUNTS, drifted, rows
from running_system import eventually
from sqlalchemy import Connection, text
from world import World

from models import acceptance
from models.advance import Step, advance
from models.analytics import daily_figures, rollups, user_revenue
from models.analytics.windows import Window
from models.identity.users import User
from models.lifecycle import Actor, Status
from runtime import database
from runtime.database import Role

ALWAYS = Window(None, None)

FOLDED, REVENUE_FOLDED = (RECOUNTS[name][0] for name in ("daily_orders", "daily_user_revenue"))


def assert_exact(world: World) -> None:
    assert drifted(world) == []


def test_a_fold_counts_every_event_exactly_once(world: World) -> None:
    bowl, yen = world.product(), world.product(currency="JPY")
    for user in (world.user(), world.user()):
        world.place(user, {bowl.sku: 2})
        world.place(user, {yen.sku: 1})
    for _ in range(6):
        world.fold()
        world.fold_once()
        assert_exact(world)
        world.work()


def test_a_late_cancellation_is_taken_from_the_day_the_order_was_placed(world: World) -> None:
    bowl, user = world.product(price_minor=500), world.user()
    order = world.place(user, {bowl.sku: 1})
    world.sql("UPDATE orders SET placed_on = '2025-11-23'")
    world.sql("UPDATE order_events SET placed_on = '2025-11-23'")
    world.work("orders.confirm")
    world.fold()
    assert_exact(world)
    assert rows(world, REVENUE_FOLDED) == {(date(2025, 11, 23), user.id, "EUR", 1, 500)}
    world.move(Step(order.id, 2, Status.CONFIRMED, Status.CANCELLED, Actor.STAFF))
    world.fold()
    assert rows(world, REVENUE_FOLDED) == set()
    assert_exact(world)


def test_an_uncommitted_order_holds_back_the_fold_of_later_ones_and_is_not_lost(world: World) -> None:
    bowl, user = world.product(), world.user()
    with database.transaction(Role.API) as slow:
        acceptance.accept(slow, [world.request(user, {bowl.sku: 1})], world.terms)
        world.place(user, {bowl.sku: 1})
        world.fold_once()
        assert rows(world, FOLDED) == set(), "what is younger than an open transaction waits for it"
    world.fold()
    assert_exact(world)
    assert sum(row[3] for row in rows(world, FOLDED)) == 2  # type: ignore[misc]


def test_two_folds_at_once_take_turns_and_no_event_is_counted_twice(world: World) -> None:
    bowl, user = world.product(), world.user()
    world.place(user, {bowl.sku: 1})

    def fold_too() -> None:
        with database.transaction() as other:
            rollups.fold(other)

    waits = "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
    with ThreadPoolExecutor(1) as threads:
        with database.transaction() as first:
            rollups.fold(first)
            second = threads.submit(fold_too)
            eventually(lambda: bool(world.sql(waits)), "the second fold waits for the first")
        second.result(10)
    world.fold()
    assert_exact(world)


def test_as_of_never_claims_more_than_was_folded(world: World) -> None:
    bowl, user = world.product(), world.user()
    with database.transaction(Role.API) as slow:
        acceptance.accept(slow, [world.request(user, {bowl.sku: 1})], world.terms)
        placed = world.order(world.place(user, {bowl.sku: 1}).id)
        world.fold_once()
        world.fold_once()
        assert world.sql("SELECT as_of FROM rollup_state")[0][0] < placed.placed_at
    world.fold()
    assert world.sql("SELECT as_of FROM rollup_state")[0][0] > placed.placed_at


def test_a_backlog_is_folded_in_bounded_bites_that_lose_nothing(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(7):
        world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(3)])
    bites, more = [], True
    while more:
        with database.transaction() as connection:
            folded, more = rollups.fold(connection, limit=5)
        bites.append(folded)
    world.fold()
    assert sum(bites) <= 21
    assert max(bites) <= 6, "a transaction's events are never torn apart"
    assert_exact(world)


def test_an_exact_answer_holds_what_is_not_folded_yet(world: World) -> None:
    bowl, user = world.product(), world.user()
    world.place(user, {bowl.sku: 1})
    with database.transaction(Role.API) as connection:
        _, stale = daily_figures.status_counts(connection, ALWAYS, exact=False)
        fresh, exact = daily_figures.status_counts(connection, ALWAYS, exact=True)
    assert (stale[Status.PENDING], exact[Status.PENDING], fresh.lag_seconds) == (0, 1, 0)


def test_sums_beyond_a_bigint_are_exact_and_hold_nothing_up(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(3):
        world.place(user, {bowl.sku: 1})
    for table, column in (("orders", "total_minor"), ("order_events", "amount_minor")):
        world.sql(f"UPDATE {table} SET {column} = 9_000_000_000_000_000_000")
    world.work_until_idle()
    world.fold()
    assert_exact(world)
    day = world.sql("SELECT max(placed_on) FROM orders")[0][0]
    with database.transaction(Role.API) as connection:
        _, [counted] = daily_figures.orders_per_day(connection, Window(day, day), "EUR", exact=True)
        [spender] = user_revenue.ranking(connection, Window(day, day), None, None, 10).users
    assert counted.revenue_minor == spender.revenue_minor == 27_000_000_000_000_000_000


def test_what_a_bigint_cannot_hold_of_one_order_is_refused_by_the_database(world: World) -> None:
    world.place(world.user(), {world.product().sku: 1})
    with pytest.raises(sqlalchemy.exc.DataError, match="out of range"):
        world.sql("UPDATE orders SET total_minor = total_minor + 9_223_372_036_854_775_807")


def place_and_cancel(world: World, user: User, sku: str, seed: int, stop: Event) -> None:
    """A client who changes their mind, and a process that dies before it commits, again and again."""
    dice = random.Random(seed)  # noqa: S311
    own: list[UUID] = []
    while not stop.is_set():
        with database.transaction(Role.API) as connection:
            batch = [world.request(user, {sku: dice.randint(1, 3)}, key=f"{seed}-{dice.random()}") for _ in range(3)]
            outcomes = acceptance.accept(connection, batch, world.terms)
            if dice.random() < 0.3:
                connection.rollback()
                continue
        own += [outcome.order_id for outcome in outcomes if isinstance(outcome, acceptance.Answer) and outcome.order_id]
        if own and dice.random() < 0.5:
            step = Step(own.pop(dice.randrange(len(own))), 1, Status.PENDING, Status.CANCELLED, Actor.OWNER)
            with database.transaction() as connection:
                advance(connection, [step], world.policy)


def compare_exact_reads(connection: Connection) -> None:
    """An exact answer and a recount, in one snapshot."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    _, exact = daily_figures.status_counts(connection, ALWAYS, exact=True)
    counted = connection.execute(text("SELECT status, count(*) FROM orders GROUP BY status"))
    assert {status: orders for status, orders in exact.items() if orders} == {row[0]: row[1] for row in counted}


def test_exact_reads_and_folds_stay_exact_under_concurrent_writers_that_roll_back(world: World) -> None:
    sku = world.product().sku
    users = [world.user() for _ in range(4)]
    stop = Event()
    with ThreadPoolExecutor(len(users)) as writers:
        writing = [writers.submit(place_and_cancel, world, user, sku, seed, stop) for seed, user in enumerate(users)]
        try:
            for _ in range(40):
                with database.transaction() as connection:
                    rollups.fold(connection)
                with database.transaction(Role.API) as connection:
                    compare_exact_reads(connection)
        finally:
            stop.set()
        for each in writing:
            each.result()
    world.fold()
    assert_exact(world)
    assert len(world.orders()) > 100
