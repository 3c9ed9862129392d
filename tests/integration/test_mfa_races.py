"""Codes shown at the same moment, by real threads on the real database: one of them is taken."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from at_once import at_once
from phone import Phone
from second_factors import Enrolled, begin
from world import World

from models import errors, mfa, refresh_tokens, totp
from models.mfa import Change
from models.totp import Outcome
from models.users import User
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
            return mfa.confirm(connection, settings.current(), user_id, code)
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
    life = timedelta(hours=1)
    for _ in range(ROUNDS):
        user = world.user()  # as a login has read them, before it looked at the password
        code = begin(user.id).code()
        with database.transaction(DatabaseRole.API) as connection:
            before = refresh_tokens.issue(connection, user, life)
        _, begun, refreshed = at_once(
            partial(confirm, user.id, code), partial(begin_session, user, life), partial(refresh, before, life)
        )
        for token in (before, begun, refreshed):
            assert refresh(str(token), life) is None


def begin_session(user: User, life: timedelta) -> str:
    with database.transaction(DatabaseRole.API) as connection:
        return refresh_tokens.issue(connection, user, life)


def refresh(token: str, life: timedelta) -> str | None:
    try:
        with database.transaction(DatabaseRole.API) as connection:
            return refresh_tokens.exchange(connection, token, life)[1]
    except errors.InvalidRefreshToken:
        return None
