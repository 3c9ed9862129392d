"""Codes shown at the same moment, by real threads on the real database: one of them is taken."""

from functools import partial
from uuid import UUID

import pytest
from at_once import at_once
from phone import Phone
from second_factors import Enrolled, begin
from world import World

from models import errors
from models.audit_log import NOBODY
from models.identity import mfa, refresh_tokens, totp
from models.identity.mfa import Change
from models.identity.refresh_tokens import Grant
from models.identity.sessions import Rules
from models.identity.totp import Outcome
from models.identity.users import User
from runtime import database, settings
from runtime.database import Role as DatabaseRole

ROUNDS = 100
AT_ONCE = 4

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def ada(world: World) -> Enrolled:
    return Enrolled.new(world)


def test_mfa_of_four_who_show_one_code_at_once_one_gets_in_a_hundred_times(ada: Enrolled) -> None:
    for _ in range(ROUNDS):
        ada.later()
        code = ada.phone.code()
        outcomes = at_once(*[partial(ada.shows, code)] * AT_ONCE)
        assert sorted(outcome.is_right for outcome in outcomes) == [False, False, False, True]


def test_mfa_of_four_who_show_one_recovery_code_at_once_one_gets_in_a_hundred_times(ada: Enrolled) -> None:
    for code in (code for _ in range(ROUNDS // len(ada.recovery_codes)) for code in ada.renewed()):
        outcomes = at_once(*[partial(ada.recovers, code)] * AT_ONCE)
        assert sorted(outcome.is_right for outcome in outcomes) == [False, False, False, True]


def test_mfa_of_many_guesses_at_once_no_more_are_looked_at_than_are_free(ada: Enrolled) -> None:
    for _ in range(20):
        ada.later()
        ada.world.sql("UPDATE totp SET wrong_codes = 0")
        outcomes = at_once(*[partial(ada.shows, ada.phone.wrong_code())] * 10)
        looked_at = [outcome for outcome in outcomes if outcome == Outcome()]
        assert len(looked_at) == totp.WRONG_CODES_FREE == ada.wrong_codes()


def confirm(user_id: UUID, code: str) -> Change | None:
    try:
        with database.transaction(DatabaseRole.API) as connection:
            return mfa.confirm(connection, settings.current(), user_id, code, NOBODY)
    except errors.NoPendingEnrolment:
        return None


def begin_anew(user_id: UUID) -> Phone | None:
    try:
        return begin(user_id)
    except errors.MfaAlreadyEnabled:
        return None


def test_mfa_of_two_confirmations_at_once_one_gets_the_recovery_codes(world: World) -> None:
    for _ in range(ROUNDS):
        user = world.user()
        code = begin(user.id).code()
        changes = at_once(*[partial(confirm, user.id, code)] * 2)
        assert [len(change.recovery_codes) for change in changes if change] == [10]
        assert world.sql("SELECT count(*) FROM recovery_codes WHERE user_id = :id", id=user.id) == [(10,)]


def test_mfa_a_secret_that_was_confirmed_is_never_replaced_by_one_that_was_not(world: World) -> None:
    both = 0
    for _ in range(ROUNDS):
        user = world.user()
        first = begin(user.id)
        code = first.code()
        change, second = at_once(partial(confirm, user.id, code), partial(begin_anew, user.id))
        [[is_on]] = world.sql("SELECT mfa_since IS NOT NULL FROM users WHERE id = :id", id=user.id)
        assert is_on == (second is None) == bool(isinstance(change, Change) and change.recovery_codes)
        both += is_on
        kept = second or first
        assert isinstance(kept, Phone)
        enrolled = Enrolled(world, user, kept, ())
        enrolled.later()
        assert enrolled.shows(kept.code()).is_right
    assert 0 < both < ROUNDS, "both ways round have been tried"


def test_mfa_no_session_that_is_begun_or_refreshed_while_it_is_turned_on_outlives_that(world: World) -> None:
    begun_in_time = 0
    for _ in range(ROUNDS // 2):
        user = world.user()  # as a login has read them, before it looked at the password
        code = begin(user.id).code()
        before = begin_session(user)
        assert before is not None
        _, begun, refreshed = at_once(
            partial(confirm, user.id, code), partial(begin_session, user), partial(refresh, before.token)
        )
        for grant in (before, begun, refreshed):
            assert grant is None or (isinstance(grant, Grant) and refresh(grant.token) is None)
        begun_in_time += begun is not None
        assert world.sql("SELECT id FROM sessions WHERE user_id = :id AND ended_at IS NULL", id=user.id) == []
    assert 0 < begun_in_time < ROUNDS // 2, "both ways round have been tried"


def test_mfa_a_login_that_began_before_it_was_turned_on_or_off_does_not_end_after(world: World) -> None:
    before = world.user()
    after = Enrolled.of(world, before).user
    assert begin_session(before) is None and begin_session(after)
    with database.transaction(DatabaseRole.API) as connection:
        assert mfa.reset(connection, after.id, NOBODY)
    assert begin_session(before) is None and begin_session(after) is None


def begin_session(user: User) -> Grant | None:
    with database.transaction(DatabaseRole.API) as connection:
        return refresh_tokens.begin(connection, user, Rules.of(settings.current()), NOBODY)


def refresh(token: str) -> Grant | None:
    with database.transaction(DatabaseRole.API) as connection:
        return refresh_tokens.exchange(connection, token, Rules.of(settings.current()), NOBODY)
