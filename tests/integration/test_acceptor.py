"""The acceptor on the real database: neighbours in a batch, a full queue, and an orderly end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from world import World

from api.acceptor import WAITING_MAX, Acceptor, hurried_engine
from api.database import Database
from models import acceptance, errors
from models.acceptance import Answer
from runtime import database, settings
from runtime.database import Role

CONNECTED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'orders_api'"


@asynccontextmanager
async def opened(world: World, waiting_max: int = WAITING_MAX) -> AsyncIterator[Acceptor]:
    transactional = database.async_engine(settings.current(), Role.API)
    hurried = hurried_engine(settings.current())
    acceptor = Acceptor(Database(hurried), Database(transactional), world.terms, waiting_max=waiting_max)
    yield acceptor
    await acceptor.close()
    await hurried.dispose()
    await transactional.dispose()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_row_that_postgresql_refuses_does_not_fail_its_neighbours(world: World) -> None:
    bowl, user = world.product(), world.user()
    good = [world.request(user, {bowl.sku: 1}) for _ in range(20)]
    bad = replace(world.request(user, {bowl.sku: 1}), user_id=uuid4())  # nobody: the foreign key refuses

    async def test() -> None:
        async with opened(world) as acceptor:
            asked = [acceptor.accept(request) for request in (*good[:10], bad, *good[10:])]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(outcomes.pop(10), IntegrityError)
        assert all(isinstance(outcome, Answer) and outcome.status == 201 for outcome in outcomes)

    run(test)
    assert len(world.orders()) == 20


def test_connections_that_died_while_nobody_looked_cost_nobody_an_order(world: World) -> None:
    bowl, user = world.product(), world.user()

    async def test() -> None:
        url = settings.current().database_url.get_secret_value()
        async with opened(world) as acceptor:
            with psycopg.connect(url) as superuser:
                of_others = superuser.execute(CONNECTED).fetchall()
            for _ in range(3):
                together = [acceptor.accept(world.request(user, {bowl.sku: 1})) for _ in range(5)]
                assert {answer.status for answer in await asyncio.gather(*together)} == {201}
                with psycopg.connect(url) as superuser:
                    for [pid] in set(superuser.execute(CONNECTED).fetchall()) - set(of_others):
                        superuser.execute("SELECT pg_terminate_backend(%s, 1000)", [pid])

    run(test)
    assert len(world.orders()) == 15


def test_a_key_that_is_held_elsewhere_holds_up_nobody_else(world: World) -> None:
    """Found by an audit: ten requests for one stuck key among 190 others kept all of them waiting up to 6 s."""
    bowl, user = world.product(), world.user()
    stuck = world.request(user, {bowl.sku: 1})
    others = [world.request(user, {bowl.sku: 1}) for _ in range(190)]

    async def test() -> None:
        async with opened(world) as acceptor:
            with database.transaction(Role.API) as holder:
                acceptance.accept(holder, [stuck], world.terms)
                waiting = [asyncio.create_task(acceptor.accept(stuck)) for _ in range(10)]
                answers = await asyncio.gather(*[acceptor.accept(request) for request in others])
                assert not any(task.done() for task in waiting), "who waits for the key was quicker"
                refused = await asyncio.gather(*waiting, return_exceptions=True)
            assert {answer.status for answer in answers} == {201}
            assert [type(refusal) for refusal in refused] == [errors.IdempotencyInProgress] * 10
            again = await acceptor.accept(stuck)
            assert (again.status, again.replayed) == (201, True)

    run(test)
    assert len(world.orders()) == 191


def test_a_table_that_is_locked_is_no_key_that_is_held(world: World) -> None:
    """Found by an audit: a lock of a migration made `409 idempotency_in_progress`, which is false and final."""
    bowl, user = world.product(), world.user()

    async def test() -> None:
        async with opened(world) as acceptor:
            with database.transaction(Role.OWNER) as holder:
                holder.exec_driver_sql("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(OperationalError) as refused:
                    await acceptor.accept(world.request(user, {bowl.sku: 1}))
                assert database.is_worth_retrying(refused.value)

    run(test)


def test_when_too_many_wait_the_next_is_refused_and_nothing_of_it_is_written(world: World) -> None:
    bowl, user = world.product(), world.user()
    requests = [world.request(user, {bowl.sku: 1}) for _ in range(4)]

    async def test() -> None:
        async with opened(world, waiting_max=3) as acceptor:
            with database.transaction(Role.OWNER) as holder:
                holder.exec_driver_sql("LOCK TABLE products IN ACCESS EXCLUSIVE MODE")
                taken = [asyncio.create_task(acceptor.accept(request)) for request in requests[:2]]
                await asyncio.sleep(1)  # both stand before the lock, each for itself
                taken += [asyncio.create_task(acceptor.accept(request)) for request in requests[2:3]]
                await asyncio.sleep(0)
                with pytest.raises(errors.Unavailable) as refused:
                    await acceptor.accept(requests[3])
                assert refused.value.cause is errors.Cause.ACCEPTOR_FULL
            assert all(answer.status == 201 for answer in await asyncio.gather(*taken))

    run(test)
    assert len(world.orders()) == 3


def test_closing_answers_what_was_taken_and_refuses_what_comes_later(world: World) -> None:
    bowl, user = world.product(), world.user()
    requests = [world.request(user, {bowl.sku: 1}) for _ in range(200)]

    async def test() -> None:
        async with opened(world) as acceptor:
            taken = [asyncio.create_task(acceptor.accept(request)) for request in requests[:199]]
            await asyncio.sleep(0)
            await acceptor.close()
            assert all(task.result().status == 201 for task in taken)
            with pytest.raises(errors.Unavailable):
                await acceptor.accept(requests[199])

    run(test)
    assert len(world.orders()) == 199


def test_a_client_that_hangs_up_changes_nothing_for_the_others(world: World) -> None:
    bowl, user = world.product(), world.user()
    requests = [world.request(user, {bowl.sku: 1}) for _ in range(60)]

    async def test() -> None:
        async with opened(world) as acceptor:
            tasks = [asyncio.create_task(acceptor.accept(request)) for request in requests]
            await asyncio.sleep(0.001)
            for task in tasks[::3]:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        stayed = [outcome for number, outcome in enumerate(outcomes) if number % 3]
        assert all(isinstance(outcome, Answer) and outcome.status == 201 for outcome in stayed)

    run(test)
    assert 40 <= len(world.orders()) <= 60
