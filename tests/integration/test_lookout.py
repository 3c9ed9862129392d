"""What the lookout knows of revocations, and what it does not let pass (S19); with a clock that is moved by hand."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from clocks import Clock
from world import World

from api.identity import lookout
from api.identity.lookout import TRUST_SECONDS, Lookout
from api.identity.tokens import Identity, Tokens
from models import errors
from models.identifiers import uuid7
from models.identity import revocations, signing_keys
from models.identity.permissions import Role
from runtime import database, settings

REVOKED_SECONDS = 5.0


@dataclass(frozen=True)
class Post:
    """A lookout that looks when it is told to."""

    clock: Clock
    lookout: Lookout


def on_watch(test: Callable[[Post], object]) -> None:
    """Run `test` with a lookout on the test's database, which has had its first look."""

    async def run() -> None:
        configured = settings.current()
        clock, own = Clock(), lookout.database_of(configured)
        try:
            keys = await own.run(signing_keys.load, configured)
            post = Post(clock, Lookout(configured, own, Tokens(configured, keys), clock))
            await post.lookout.look()
            outcome = test(post)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            await own.engine.dispose()

    asyncio.run(run())


def somebody() -> Identity:
    user_id, session_id = uuid7(), uuid7()
    return Identity(user_id, Role.CUSTOMER, session_id, 0, ((user_id, 3), (session_id, 0)))


def test_s19_whoever_could_not_look_for_4_s_believes_nobody(world: World) -> None:
    def test(post: Post) -> None:
        post.clock.now += TRUST_SECONDS - 0.1
        post.lookout.check(somebody().epochs)
        post.clock.now += 0.1
        with pytest.raises(errors.Unavailable) as refused:
            post.lookout.check(somebody().epochs)
        assert refused.value.cause is errors.Cause.REVOCATIONS_UNSEEN

    assert TRUST_SECONDS + lookout.LOOK_SECONDS <= REVOKED_SECONDS
    on_watch(test)


def test_s19_a_look_that_fails_is_no_look(world: World) -> None:
    async def test(post: Post) -> None:
        world.sql("ALTER TABLE revocations RENAME TO elsewhere")
        try:
            post.clock.now += TRUST_SECONDS
            with pytest.raises(Exception, match="revocations"):
                await post.lookout.look()
            with pytest.raises(errors.Unavailable):
                post.lookout.check(somebody().epochs)
        finally:
            world.sql("ALTER TABLE elsewhere RENAME TO revocations")
        await post.lookout.look()
        post.lookout.check(somebody().epochs)

    on_watch(test)


def test_s19_a_revocation_is_found_however_late_its_transaction_ends(world: World) -> None:
    """Looks pass while it is open; it is older than they are, and younger in effect."""

    async def test(post: Post) -> None:
        identity = somebody()
        with database.transaction(database.Role.API) as slow:
            revocations.revoke(slow, identity.epochs[-1][0], 1)
            for _ in range(3):
                with database.transaction(database.Role.API) as quick:
                    revocations.revoke(quick, uuid7(), 1)
                await post.lookout.look()
            post.lookout.check(identity.epochs)
        await post.lookout.look()
        with pytest.raises(errors.InvalidToken):
            post.lookout.check(identity.epochs)

    on_watch(test)


def test_s19_tokens_of_the_new_epoch_hold_and_those_of_older_ones_do_not(world: World) -> None:
    async def test(post: Post) -> None:
        identity = somebody()
        for epoch, holds in ((3, True), (4, False)):
            with database.transaction(database.Role.API) as connection:
                revocations.revoke(connection, identity.user_id, epoch)
            await post.lookout.look()
            if holds:
                post.lookout.check(identity.epochs)
            else:
                with pytest.raises(errors.InvalidToken):
                    post.lookout.check(identity.epochs)

    on_watch(test)


def test_s19_what_was_revoked_is_known_for_longer_than_a_token_lives_and_then_forgotten(world: World) -> None:
    async def test(post: Post) -> None:
        identity = somebody()
        with database.transaction(database.Role.API) as connection:
            revocations.revoke(connection, identity.epochs[-1][0], 1)
        await post.lookout.look()
        world.sql("DELETE FROM revocations")
        for passed, is_known in ((16 * 60, True), (5 * 60, False)):
            post.clock.now += passed
            await post.lookout.look()
            if is_known:
                with pytest.raises(errors.InvalidToken):
                    post.lookout.check(identity.epochs)
            else:
                post.lookout.check(identity.epochs)

    on_watch(test)


def test_s19_a_database_that_was_replaced_by_another_cluster_s_is_read_from_its_beginning(world: World) -> None:
    with database.transaction(database.Role.API) as connection:
        subject = uuid7()
        revocations.revoke(connection, subject, 1)
    with database.transaction(database.Role.API) as connection:
        of_another_cluster = str(2**40)
        assert revocations.since(connection, of_another_cluster).void == {subject: 1}
