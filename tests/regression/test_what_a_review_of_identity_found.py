"""What a review of keys and second factors found, a day after they came together; each is the story of one race or gap.

What was verified (a password, a role) was not looked at again under the lock: who was locked out at that very moment
kept a key of a year, or put their phone on the account. A key knew nothing of second factors. A recovery code and a
change of factors locked the same rows in two sequences. A stream went on in a process that could see no revocations.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import httpx2
import psycopg
import pytest
from api_client import Client, Shop, assert_problem
from api_server import serving
from at_once import at_once
from key_holders import key_of, made_by, person, rotated_by, service, showing
from mfa_account import TOTP
from running_system import eventually
from second_factors import Enrolled, begin
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from api.app import create_app
from api.identity.lookout import TRUST_SECONDS
from models.audit_log import NOBODY
from models.identity import accounts, api_key_desk, mfa
from models.identity.accounts import Change
from models.identity.api_key_desk import LIVE_MAX, Rotation
from models.identity.mfa import SecondFactor
from models.identity.permissions import Permission, Role
from models.identity.users import User
from runtime import database, settings
from runtime.database import Role as DatabaseRole

WAITS_SECONDS = 0.3
Ask = Callable[[], httpx2.Response]


def beside(change: Callable[[Connection], object], ask: Ask) -> httpx2.Response:
    """What is answered to who asked while the change was made, and had to wait for its commit."""
    with ThreadPoolExecutor(1) as thread:
        with database.transaction(DatabaseRole.OWNER) as connection:
            change(connection)
            asked = thread.submit(ask)
            time.sleep(WAITS_SECONDS)
        return asked.result()


def password_set(user: User) -> Callable[[Connection], object]:
    return lambda connection: accounts.set_password(connection, user.id, "$argon2id$another", NOBODY)


def password_changed(user: User) -> Callable[[Connection], object]:
    return lambda connection: accounts.change_password(connection, user, "$argon2id$another", None, NOBODY)


def disabled(user: User) -> Callable[[Connection], object]:
    return lambda connection: accounts.change(connection, user.id, Change(disabled=True), None, NOBODY)


@pytest.mark.parametrize("change", [password_set, password_changed, disabled])
def test_no_key_is_made_or_rotated_with_a_password_that_was_replaced_meanwhile(
    shop: Shop, change: Callable[[User], Callable[[Connection], object]]
) -> None:
    ada = person()
    thief, old = shop.client(ada), key_of(ada)
    assert beside(change(ada), partial(made_by, thief, Permission.PLACE_ORDERS)).status_code in {401, 403}
    [[keys]] = shop.world.sql("SELECT count(*) FROM api_keys")
    assert keys == 1
    bob = person(email="bob@example.com")
    thief, old = shop.client(bob), key_of(bob)
    assert beside(change(bob), partial(rotated_by, thief, old.key.id)).status_code in {401, 403, 409}
    assert shop.world.sql("SELECT count(*) FROM api_keys") == [(2,)]


@pytest.fixture
def demanding(shop: Shop) -> Iterator[Shop]:
    """An API that demands a second factor of staff and admins, as in production."""
    configured = settings.current().model_copy(update={"mfa_required_roles": ("staff", "admin")})
    with serving(create_app(configured)) as server:
        opened = Shop(shop.world, server)
        yield opened
        opened.close()


def test_a_token_of_before_a_promotion_makes_no_key_for_the_new_role(demanding: Shop) -> None:
    ada = person()
    client = demanding.client(ada)
    with database.transaction(DatabaseRole.OWNER) as connection:
        accounts.change(connection, ada.id, Change(role=Role.STAFF), None, NOBODY)
    assert_problem(made_by(client, Permission.SEE_ALL_ORDERS), 401, "invalid_token")


def test_a_key_permits_nothing_to_who_has_yet_to_set_up_a_second_factor(demanding: Shop) -> None:
    eve = Enrolled.of(demanding.world, person(Role.STAFF))
    with showing(demanding.url, key_of(eve.user)) as machine:
        assert machine.get("/v1/order-events").status_code == 200
        with database.transaction(DatabaseRole.OWNER) as connection:
            mfa.reset(connection, eve.user.id, NOBODY)
        eventually(lambda: machine.get("/v1/order-events").status_code == 403, "the key is looked up again", seconds=5)
        assert_problem(machine.get("/v1/order-events"), 403, "mfa_enrolment_required")
    with showing(demanding.url, key_of(service(role=Role.STAFF))) as robot:
        assert robot.get("/v1/order-events").status_code == 200, "a service account has no phone"


@pytest.mark.parametrize("change", [password_set, disabled])
def test_nobody_puts_a_phone_on_an_account_that_was_locked_meanwhile(
    shop: Shop, change: Callable[[User], Callable[[Connection], object]]
) -> None:
    ada = person()
    thief, phone = shop.client(ada), begin(ada.id)
    confirmed = beside(change(ada), lambda: thief.post(f"{TOTP}/confirm", json={"code": phone.code()}))
    assert_problem(confirmed, 409, "no_pending_enrolment")
    assert shop.world.sql("SELECT mfa_since FROM users") == [(None,)]


def test_a_recovery_code_and_a_change_of_factors_take_turns(shop: Shop) -> None:
    eve = Enrolled.new(shop.world)

    def renew() -> object:
        with database.transaction(DatabaseRole.API) as connection:
            shown = SecondFactor(totp_code=eve.phone.code())
            return mfa.renew_recovery_codes(connection, settings.current(), eve.user.id, shown, NOBODY)

    def outcome(ask: Callable[[], object]) -> object:
        try:
            return ask()
        except OperationalError as error:
            return error.orig

    for _ in range(20):
        codes = eve.renewed()
        eve.later()
        eve.phone.code()
        found = at_once(partial(outcome, partial(eve.recovers, codes[0])), partial(outcome, renew))
        assert not any(isinstance(each, psycopg.Error) for each in found), found


def test_a_stream_ends_where_revocations_cannot_be_seen(shop: Shop, as_customer: Client) -> None:
    with psycopg.connect(settings.current().database_url.get_secret_value(), autocommit=True) as connection:
        stream = as_customer.order().json()["links"]["stream"]
        with as_customer.stream("GET", stream) as response:
            lines = response.iter_lines()
            assert next(line for line in lines if line.startswith("event:")) == "event: pending"
            connection.execute("REVOKE SELECT ON revocations FROM orders_api")
            try:
                eventually(lambda: shop.services.lookout.is_blind, "it is blind", seconds=TRUST_SECONDS + 10)
                time.sleep(1.5)  # what waits for a change looks once a second whether it still may
                shop.world.work_until_idle()
                assert [line for line in lines if line.startswith("event:")] == []
            finally:
                connection.execute("GRANT SELECT ON revocations TO orders_api")
        eventually(lambda: not shop.services.lookout.is_blind, "it sees again", seconds=10)


def test_a_try_that_nobody_looked_at_does_not_hold_up_the_next(shop: Shop) -> None:
    ada, done = person(), threading.Event()
    client, others = shop.client(ada), [shop.client(person(email=f"{number}@example.com")) for number in range(40)]

    def keep_busy(other: Client) -> None:
        while not done.is_set():
            made_by(other, Permission.PLACE_ORDERS, password="none of theirs")

    free = int(settings.current().login_tries.partition("/")[0])
    not_looked_at = 0
    with ThreadPoolExecutor(len(others)) as threads:
        busy = [threads.submit(keep_busy, other) for other in others]
        try:
            while not_looked_at < 2 * free:
                answer = made_by(client, Permission.PLACE_ORDERS)
                assert answer.status_code in {201, 503, 409}, answer.text
                not_looked_at += answer.status_code == 503
        finally:
            done.set()
        for each in busy:
            each.result()


def test_a_rotation_never_makes_a_key_live_longer(shop: Shop) -> None:
    ada = person()
    old = key_of(ada, life=timedelta(hours=1))
    assert rotated_by(shop.client(ada), old.key.id).status_code == 201
    ends_at = shop.world.sql("SELECT expires_at FROM api_keys WHERE id = :id", id=old.key.id)
    assert ends_at == [(old.key.expires_at,)]


def test_who_rotates_keys_and_revokes_their_successors_has_no_more_keys_than_others(shop: Shop) -> None:
    ada = person()
    week = Rotation(timedelta(days=7), timedelta(days=1))
    for each in [key_of(ada, [Permission.PLACE_ORDERS]) for _ in range(LIVE_MAX)]:
        with database.transaction(DatabaseRole.API) as connection:
            successor = api_key_desk.rotate(connection, each.key.id, ada.id, week, ada, NOBODY)
            api_key_desk.revoke(connection, successor.key.id, ada.id, NOBODY)
    assert_problem(made_by(shop.client(ada), Permission.PLACE_ORDERS), 409, "too_many_keys")


def test_none_is_made_for_a_service_account_that_is_disabled(shop: Shop) -> None:
    admin, robot = shop.client(person(Role.ADMIN)), service()
    with database.transaction(DatabaseRole.OWNER) as connection:
        accounts.change(connection, robot.id, Change(disabled=True), None, NOBODY)
    refused = made_by(admin, Permission.PLACE_ORDERS, user_id=str(robot.id))
    assert_problem(refused, 422, "no_service_account")
