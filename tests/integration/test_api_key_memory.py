"""How long an API process believes what it was told of a key, and how it notes that one is in use; clock in hand."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clocks import Clock
from key_holders import key_of, service
from sqlalchemy import event
from world import World

from api.app import create_app
from api.database import Database
from api.identity import lookout
from api.identity.api_keys import REMEMBERED_SECONDS, ApiKeys
from api.identity.key_use import KeyUse
from api.identity.lookout import LOOK_SECONDS, Lookout
from api.identity.tokens import Identity
from api.metrics.measures import Measures
from models import errors
from models.identity import api_keys, revocations
from models.identity.api_key_desk import NewKey
from models.identity.permissions import Permission
from runtime import database, settings
from runtime.database import Role

APP = create_app()


@dataclass(frozen=True)
class Desk:
    """A process that is shown keys, and the statements it sends."""

    clock: Clock
    keys: ApiKeys
    statements: list[str]

    async def show(self, made: NewKey) -> Identity:
        scope: dict[str, Any] = {"app": APP, "path": "/", "state": {}, "headers": [], "client": ("::1", 1)}
        return await self.keys.verify(made.secret, scope)


def at_a_desk(test: Callable[[Desk], Awaitable[object]], window_seconds: float = 60.0) -> None:
    async def run() -> None:
        configured = settings.current()
        own = Database(database.async_engine(configured, Role.API))
        watching, _ = await Lookout.begin(configured, lookout.database_of(configured), Measures())
        seen: list[str] = []
        event.listen(own.engine.sync_engine, "before_cursor_execute", lambda *told: seen.append(told[2]))
        use, clock = KeyUse(own, window_seconds), Clock()
        try:
            await test(Desk(clock, ApiKeys(own, watching, use, configured.roles_that_need_mfa, clock), seen))
        finally:
            await use.close()
            await watching.close()
            await own.engine.dispose()

    asyncio.run(run())


def test_s19_a_key_is_looked_up_again_long_before_anybody_forgets_that_it_was_revoked(world: World) -> None:
    made = key_of(service())

    async def test(desk: Desk) -> None:
        await desk.show(made)
        world.sql("UPDATE api_keys SET revoked_at = now(), expires_at = now()")
        desk.clock.now += REMEMBERED_SECONDS - 1
        await desk.show(made)
        desk.clock.now += 1
        with pytest.raises(errors.InvalidToken):
            await desk.show(made)

    assert revocations.REMEMBERED.total_seconds() > REMEMBERED_SECONDS * 2
    at_a_desk(test)


def test_s19_a_key_that_is_revoked_at_the_moment_of_its_lookup_is_not_believed(world: World) -> None:
    """What the database said is older than what the lookout has seen meanwhile."""
    made = key_of(service())

    async def test(desk: Desk) -> None:
        with database.transaction(Role.API) as connection:
            revocations.revoke(connection, made.key.id, 1)
        await asyncio.sleep(3 * LOOK_SECONDS)
        with pytest.raises(errors.InvalidToken):
            await desk.show(made)
        assert sum("FROM api_keys" in each for each in desk.statements) == 2, "it was asked twice"

    at_a_desk(test)


def test_uses_are_written_once_for_many_and_by_no_request(world: World) -> None:
    robot = service()
    one, two = key_of(robot), key_of(robot)

    async def test(desk: Desk) -> None:
        for _ in range(50):
            await desk.show(one)
        await desk.show(two)
        assert not any("UPDATE" in each for each in desk.statements)
        await asyncio.sleep(0.6)
        assert sum("UPDATE" in each for each in desk.statements) == 1
        await desk.show(one)
        await asyncio.sleep(0.6)
        assert sum("UPDATE" in each for each in desk.statements) == 2

    at_a_desk(test, window_seconds=0.2)
    assert world.sql("SELECT count(*) FROM api_keys WHERE last_used_at > now() - interval '1 min'") == [(2,)]


def test_an_older_use_does_not_replace_a_newer_one_and_who_is_busy_is_passed_over(world: World) -> None:
    robot = service()
    busy, free = key_of(robot).key.prefix, key_of(robot).key.prefix
    now = datetime.now(UTC)
    with database.transaction(Role.API) as holder:
        api_keys.note_use(holder, {busy: now})
        for at in (now, now - timedelta(hours=1)):
            with database.transaction(Role.API) as connection:
                api_keys.note_use(connection, {busy: now + timedelta(hours=1), free: at})
    assert dict(tuple(row) for row in world.sql("SELECT prefix, last_used_at FROM api_keys")) == {busy: now, free: now}


def test_a_permission_that_keys_cannot_have_any_more_permits_nothing(world: World) -> None:
    """As while a release that knows more of them is rolled out, or back."""
    made = key_of(service())
    world.sql("UPDATE api_keys SET permissions = ARRAY['orders:place', 'users:write', 'moon:land']")

    async def test(desk: Desk) -> None:
        assert (await desk.show(made)).scope == frozenset({Permission.PLACE_ORDERS})

    at_a_desk(test)
