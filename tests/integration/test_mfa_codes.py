"""Codes of an authenticator app and recovery codes: when they are right, how often, and what wrong ones cost."""

import base64
import re
from uuid import UUID

import pytest
from phone import Phone
from pydantic import SecretStr
from second_factors import Enrolled, begin
from world import World

from models import errors
from models.audit_log import NOBODY
from models.identity import mfa, totp
from models.identity.totp import Outcome
from runtime import database, secret, settings
from runtime.database import Role as DatabaseRole

RIGHT, WRONG = Outcome(is_right=True), Outcome()


@pytest.fixture
def ada(world: World) -> Enrolled:
    return Enrolled.new(world)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_mfa_a_code_of_this_step_and_its_neighbours_is_right(ada: Enrolled, steps: int) -> None:
    assert ada.shows(ada.phone.code(steps)) == RIGHT


@pytest.mark.parametrize("steps", [-20, -2, 2, 20])
def test_mfa_a_code_of_any_other_step_is_wrong(ada: Enrolled, steps: int) -> None:
    assert ada.shows(ada.phone.code(steps)) == WRONG


def test_mfa_a_code_is_good_once_and_so_is_every_earlier_one(ada: Enrolled) -> None:
    earlier, code, later = (ada.phone.code(steps) for steps in (-1, 0, 1))
    assert [ada.shows(each) for each in (code, code, earlier, later, later)] == [RIGHT, WRONG, WRONG, RIGHT, WRONG]


def test_mfa_a_code_belongs_to_one_user(ada: Enrolled, world: World) -> None:
    assert Enrolled.new(world).shows(ada.phone.code()) == WRONG


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666", "٣" * 6])
def test_mfa_what_is_no_code_is_wrong(ada: Enrolled, code: str) -> None:
    assert ada.shows(code) == WRONG


def test_mfa_the_code_that_confirmed_is_spent(world: World) -> None:
    user = world.user()
    phone = begin(user.id)
    code = phone.code()
    with database.transaction(DatabaseRole.API) as connection:
        assert mfa.confirm(connection, settings.current(), user.id, code, NOBODY).outcome == RIGHT
        assert totp.spend(connection, settings.current(), user.id, code) == WRONG


def test_mfa_five_wrong_codes_are_free_and_from_then_on_the_wait_doubles_up_to_six_hours(ada: Enrolled) -> None:
    waits = []
    for _ in range(20):
        assert ada.shows(ada.phone.wrong_code()) == WRONG
        waits.append(ada.shows(ada.phone.code()).wait_seconds if ada.wrong_codes() >= totp.WRONG_CODES_FREE else 0)
        ada.world.sql("UPDATE totp SET not_before = NULL")
    assert waits[:4] == [0, 0, 0, 0]
    assert waits[4:] == [min(30 * 2**doublings, 6 * 3600) for doublings in range(16)]


def test_mfa_while_one_has_to_wait_the_right_code_is_not_looked_at_and_no_code_is_counted(ada: Enrolled) -> None:
    for _ in range(totp.WRONG_CODES_FREE):
        ada.shows(ada.phone.wrong_code())
    for code in (ada.phone.code(), ada.phone.wrong_code()):
        refused = ada.shows(code)
        assert not refused.is_right and 0 < refused.wait_seconds <= 30
    assert ada.wrong_codes() == totp.WRONG_CODES_FREE


def test_mfa_after_the_wait_a_right_code_is_right_and_wrong_ones_are_forgotten(ada: Enrolled) -> None:
    for _ in range(totp.WRONG_CODES_FREE):
        ada.shows(ada.phone.wrong_code())
    ada.later()
    assert ada.shows(ada.phone.code()) == RIGHT
    assert ada.wrong_codes() == 0


def test_mfa_a_recovery_code_works_while_the_app_has_to_wait_and_ends_the_wait(ada: Enrolled) -> None:
    for _ in range(totp.WRONG_CODES_FREE):
        ada.shows(ada.phone.wrong_code())
    assert ada.recovers(ada.recovery_codes[0]) == RIGHT
    assert ada.shows(ada.phone.code()) == RIGHT


def test_mfa_there_are_ten_recovery_codes_of_140_bits_all_different(ada: Enrolled) -> None:
    assert len(set(ada.recovery_codes)) == 10
    for code in ada.recovery_codes:
        assert re.fullmatch(r"([a-z2-7]{4}-){6}[a-z2-7]{4}", code), "28 characters of five bits"
    assert len(set("".join(ada.recovery_codes))) > 25, "of all of them"


def test_mfa_each_recovery_code_is_good_once_however_it_is_typed(ada: Enrolled) -> None:
    first, second, *others = ada.recovery_codes
    assert ada.recovers(first) == RIGHT
    assert ada.recovers(first) == ada.recovers(first.upper()) == WRONG
    assert ada.recovers(f" {second.upper().replace('-', ' ')} ") == RIGHT
    assert [ada.recovers(code) for code in others] == [RIGHT] * 8


def test_mfa_a_recovery_code_belongs_to_one_user(ada: Enrolled, world: World) -> None:
    assert Enrolled.new(world).recovers(ada.recovery_codes[0]) == WRONG
    assert ada.recovers(ada.recovery_codes[0]) == RIGHT


def test_mfa_new_recovery_codes_void_the_former_ones(ada: Enrolled) -> None:
    renewed = ada.renewed()
    assert [ada.recovers(code) for code in ada.recovery_codes] == [WRONG] * 10
    assert ada.recovers(renewed[0]) == RIGHT


def test_mfa_nothing_that_is_stored_is_a_secret_or_a_code(ada: Enrolled) -> None:
    stored = "".join(str(ada.world.sql(f"SELECT * FROM {table}")) for table in ("users", "totp", "recovery_codes"))
    raw = base64.b32decode(ada.phone.secret)
    assert len(raw) * 8 == 160
    # Recovery codes are compared without their hyphens, so that is how one would be kept.
    bare = [code.replace("-", "") for code in ada.recovery_codes]
    for told in (ada.phone.secret, raw.hex(), str(raw)[2:-1], *ada.recovery_codes, *bare):
        assert told not in stored


def test_mfa_a_sealed_secret_is_of_no_use_in_another_users_row(ada: Enrolled, world: World) -> None:
    eve = Enrolled.new(world)
    world.sql("UPDATE totp SET sealed_secret = (SELECT sealed_secret FROM totp WHERE user_id = :id)", id=eve.user.id)
    assert ada.shows(eve.phone.code()) == Outcome(is_unreadable=True)


def test_mfa_under_another_secret_key_codes_are_unreadable_and_recovery_codes_still_work(ada: Enrolled) -> None:
    changed = settings.current().model_copy(update={"secret_key": SecretStr("another" + "1" * 32)})
    with database.transaction(DatabaseRole.API) as connection:
        assert totp.spend(connection, changed, ada.user.id, ada.phone.code()) == Outcome(is_unreadable=True)
        shown = mfa.SecondFactor(recovery_code=ada.recovery_codes[0])
        assert mfa.prove(connection, changed, ada.user.id, shown, NOBODY) == RIGHT


def test_mfa_a_seal_is_for_one_purpose_and_one_owner() -> None:
    configured = settings.current()
    sealed = secret.seal(configured, "one", b"plain", b"ada")
    assert secret.unseal(configured, "one", sealed, b"ada") == b"plain"
    assert sealed != secret.seal(configured, "one", b"plain", b"ada")
    for purpose, whose, changed in (("two", b"ada", sealed), ("one", b"eve", sealed), ("one", b"ada", sealed[:-1])):
        with pytest.raises(secret.SealBroken):
            secret.unseal(configured, purpose, changed, whose)


def test_mfa_an_enrolment_waits_ten_minutes_and_a_new_one_takes_its_place(world: World) -> None:
    user = world.user()
    first, second = begin(user.id), begin(user.id)
    assert confirm(user.id, first) == WRONG
    world.sql("UPDATE totp SET began_at = now() - interval '10 minutes 1 second'")
    with pytest.raises(errors.NoPendingEnrolment):
        confirm(user.id, second)
    world.sql("UPDATE totp SET began_at = now() - interval '9 minutes 50 seconds'")
    assert confirm(user.id, second) == RIGHT


def confirm(user_id: UUID, phone: Phone) -> Outcome:
    with database.transaction(DatabaseRole.API) as connection:
        return mfa.confirm(connection, settings.current(), user_id, phone.code(), NOBODY).outcome
