"""Sessions under concurrency: whoever meets whom, a session has one good token, or is over."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from at_once import at_once
from world import NO_PASSWORD, World

from models import errors
from models.audit_log import NOBODY
from models.identity import accounts, refresh_tokens
from models.identity.accounts import Change
from models.identity.permissions import Role as UserRole
from models.identity.refresh_tokens import Grant
from models.identity.sessions import Rules
from models.identity.users import User
from runtime import database, settings
from runtime.database import Role

ROUNDS = 100
ADMINS = (UserRole.ADMIN, UserRole.ADMIN)
OTHER_PASSWORD = NO_PASSWORD.replace("c29tZXNhbHQ", "b3RoZXJzYWx0")


@pytest.fixture
def rules() -> Rules:
    return Rules.of(settings.current())


def begin(user: User, rules: Rules) -> Grant | None:
    with database.transaction(Role.API) as connection:
        return refresh_tokens.begin(connection, user, rules, NOBODY)


def begun(user: User, rules: Rules) -> Grant:
    grant = begin(user, rules)
    assert grant is not None
    return grant


def exchange(token: str, rules: Rules) -> Grant | None:
    with database.transaction(Role.API) as connection:
        return refresh_tokens.exchange(connection, token, rules, NOBODY)


def end(token: str) -> None:
    with database.transaction(Role.API) as connection:
        refresh_tokens.end_session(connection, token, NOBODY)


def good(world: World, session: Grant) -> list[int]:
    """How many good tokens the session has, if it is not over."""
    return [
        row[0]
        for row in world.sql(
            "SELECT count(*) FROM refresh_tokens AS t JOIN sessions AS s ON s.id = t.family"
            " WHERE s.id = :id AND s.ended_at IS NULL AND t.used_at IS NULL",
            id=session.session_id,
        )
    ]


def test_s16_two_exchanges_of_one_token_at_once_bring_one_successor(world: World, rules: Rules) -> None:
    user = world.user()
    for _ in range(ROUNDS):
        session = begun(user, rules)
        one, two = at_once(*[lambda token=session.token: exchange(token, rules)] * 2)
        assert one is not None and two is not None and one.token == two.token
        assert good(world, session) == [1]


def test_s16_an_exchange_beside_the_use_of_its_successor_leaves_one_good_token_or_ends_the_session(
    world: World, rules: Rules
) -> None:
    """Whichever comes first: the retry gets the successor, or, after it was used, is taken for a thief's."""
    user, outcomes = world.user(), set()
    for _ in range(ROUNDS):
        session = begun(user, rules)
        successor = exchange(session.token, rules)
        assert successor is not None
        acts: list[Callable[[], Grant | None]] = [
            lambda token=session.token: exchange(token, rules),  # type: ignore[misc]
            lambda token=successor.token: exchange(token, rules),  # type: ignore[misc]
        ]
        retried, used = at_once(*acts)
        outcomes.add((retried is not None, used is not None))
        assert retried is None or retried.token == successor.token
        if retried is not None:
            assert good(world, session) == [1]
        else:
            assert world.sql("SELECT ended_because FROM sessions WHERE id = :id", id=session.session_id) == [("reuse",)]
    assert outcomes <= {(True, True), (False, True)}


def test_s19_a_session_that_is_ended_while_it_is_refreshed_is_over(world: World, rules: Rules) -> None:
    user = world.user()
    for _ in range(ROUNDS):
        session = begun(user, rules)
        successor, _ = at_once(
            lambda token=session.token: exchange(token, rules),  # type: ignore[misc]
            lambda token=session.token: end(token),  # type: ignore[misc]
        )
        for token in (session.token, *([successor.token] if successor else [])):
            assert exchange(token, rules) is None


@pytest.mark.parametrize("what", ["password", "disabled"])
def test_s9_a_login_beside_a_change_is_refused_or_its_session_ends(world: World, rules: Rules, what: str) -> None:
    """The password was verified before. Whether its session is there before the change or not, it ends."""

    def change(user: User) -> None:
        with database.transaction(Role.API) as connection:
            if what == "password":
                assert accounts.change_password(connection, user, OTHER_PASSWORD, None, NOBODY)
            else:
                accounts.change(connection, user.id, Change(disabled=True), None, NOBODY)

    for _ in range(ROUNDS):
        user = world.user()
        acts: list[Callable[[], object]] = [
            lambda user=user: begin(user, rules),  # type: ignore[misc]
            lambda user=user: change(user),  # type: ignore[misc]
        ]
        random.shuffle(acts)
        at_once(*acts)
        left = world.sql("SELECT count(*) FROM sessions WHERE user_id = :id AND ended_at IS NULL", id=user.id)
        assert left == [(0,)]


def test_s19_two_admins_who_demote_each_other_at_once_leave_one(world: World) -> None:
    for _ in range(ROUNDS):
        world.sql("UPDATE users SET role = 'customer'")
        ann, bob = (world.user(each) for each in ADMINS)

        def demote(who: User, by: User) -> str:
            try:
                with database.transaction(Role.API) as connection:
                    accounts.change(connection, who.id, Change(role=UserRole.CUSTOMER), by.id, NOBODY)
            except errors.OrderPipelineError as refusal:
                return refusal.code
            return "done"

        told = at_once(lambda: demote(ann, bob), lambda: demote(bob, ann))  # noqa: B023
        assert sorted(told) == ["done", "forbidden"]
        assert world.sql("SELECT count(*) FROM users WHERE role = 'admin'") == [(1,)]


def test_a_rehash_beside_a_change_of_the_password_loses(world: World, rules: Rules) -> None:
    user = world.user()
    with database.transaction(Role.API) as connection:
        assert accounts.change_password(connection, user, OTHER_PASSWORD, None, NOBODY)
        assert accounts.rehash(connection, user, "a dearer hash of the old password") == user
    assert world.sql("SELECT password_hash FROM users") == [(OTHER_PASSWORD,)]
    assert begin(user, rules) is None, "the password that was verified is not theirs any more"
    assert begin(replace(user, password_hash=OTHER_PASSWORD), rules) is not None
