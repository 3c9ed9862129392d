"""What the API tells the audit log: who logged in, or could not, and who used power over what is others' (S25)."""

import asyncio
from collections.abc import Iterator
from os import environ
from uuid import uuid4

import pytest
from api_client import Client, Shop, assert_problem
from api_server import serving
from audit_trail import an_event, entries, recorded, told, verify
from logins import ADA, Tokens, change_password, login, register
from mfa_account import MFA, TOTP, Account
from second_factors import Enrolled
from typer.testing import CliRunner
from world import World, forget_counts

from api.app import create_app
from api.database import Database
from api.identity.refusals import ROWS_PER_WINDOW, Refusals
from models import dead_letters, outbox
from models.audit_log import EventName
from models.identity import totp
from ops import cli, operator
from runtime import database, settings


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    """With an API of its own: what other tests were refused counts for the rate of theirs."""
    with serving(create_app()) as running:
        opened = Shop(world, running)
        yield opened
        opened.close()


@pytest.fixture
def ada(anonymous: Client) -> str:
    """Registered; her id."""
    user_id: str = register(anonymous).json()["id"]
    return user_id


def test_s25_a_login_is_recorded_with_where_it_came_from(anonymous: Client, ada: str) -> None:
    answer = login(anonymous)
    assert answer.status_code == 200
    [entry] = entries()
    assert told(entry) == ("login.succeeded", ada, {})
    assert (entry.actor, entry.client_address) == (None, "127.0.0.1")
    assert entry.request_id == answer.headers["X-Request-ID"]


def test_s25_a_refused_login_is_recorded_with_the_reason_that_its_answer_keeps_back(
    anonymous: Client, world: World, ada: str
) -> None:
    attempts = [ADA | {"password": "a lovely night in may"}, ADA | {"email": "eve@example.com"}, ADA | {"email": "eve"}]
    answers = [anonymous.post("/v1/auth/login", json=attempt) for attempt in attempts]
    world.sql("UPDATE users SET disabled_at = now()")
    answers.append(anonymous.post("/v1/auth/login", json=ADA))
    assert {assert_problem(answer, 401, "invalid_credentials")["detail"] for answer in answers} == {
        "The e-mail address or the password is wrong."
    }
    expected = [
        ("login.failed", ada, {"because": "wrong_password"}),
        ("login.failed", None, {"because": "unknown_account"}),
        ("login.failed", None, {"because": "unknown_account"}),
        ("login.failed", ada, {"because": "disabled"}),
    ]
    by_request = {entry.request_id: told(entry) for entry in recorded(4)}
    assert [by_request[answer.headers["X-Request-ID"]] for answer in answers] == expected


def test_s25_a_logout_is_recorded_when_it_ends_a_session(anonymous: Client, ada: str) -> None:
    token = anonymous.post("/v1/auth/login", json=ADA).json()["refresh_token"]
    for each in (token, token, "invented"):
        assert anonymous.post("/v1/auth/logout", json={"refresh_token": each}).status_code == 204
    assert [told(entry) for entry in entries()] == [("login.succeeded", ada, {}), ("logout", ada, {})]


def test_s25_a_password_that_was_changed_or_could_not_be_is_recorded(anonymous: Client, ada: str) -> None:
    token = Tokens.of(login(anonymous)).access
    assert change_password(anonymous, token, "canary", "an evening in june").status_code == 403
    assert change_password(anonymous, token, ADA["password"], "short").status_code == 422
    assert change_password(anonymous, token, ADA["password"], "an evening in june").status_code == 204
    written = recorded(3)[1:]  # behind the login
    assert sorted(told(entry) for entry in written) == [("password.changed", ada, {}), ("password.refused", ada, {})]
    assert {entry.actor for entry in written} == {ada}


def test_s25_what_an_admin_does_to_an_account_is_recorded_and_nothing_that_changes_nothing(
    as_admin: Client, anonymous: Client, ada: str
) -> None:
    account = f"/v1/users/{ada}"
    for wanted in ({"role": "staff"}, {"role": "staff", "disabled": False}, {"disabled": True}, {"disabled": True}):
        assert as_admin.patch(account, json=wanted).status_code == 200
    assert as_admin.patch(account, json={"role": "analyst", "disabled": False}).status_code == 200
    assert_problem(as_admin.patch(f"/v1/users/{as_admin.user.id}", json={"role": "customer"}), 409)
    written = entries()
    assert [told(entry) for entry in written] == [
        ("role.changed", ada, {"from": "customer", "to": "staff"}),
        ("user.disabled", ada, {}),
        ("role.changed", ada, {"from": "staff", "to": "analyst"}),
        ("user.enabled", ada, {}),
    ]
    assert {(entry.actor, entry.client_address) for entry in written} == {(str(as_admin.user.id), "127.0.0.1")}


def test_s25_what_is_done_on_the_command_line_is_recorded_with_who_did_it(world: World) -> None:
    bob = Enrolled.of(world, world.user(email="bob@example.com")).user
    for arguments in (["disable"], ["disable"], ["enable"], ["role", "staff"], ["reset-mfa"], ["reset-mfa"]):
        done = CliRunner().invoke(cli.app, ["user", arguments[0], "bob@example.com", *arguments[1:]])
        assert done.exit_code == 0, done.output
    password = ["user", "password", "bob@example.com", "--password-stdin"]
    done = CliRunner().invoke(cli.app, password, input="an evening in june\n")
    assert done.exit_code == 0, done.output
    written = [entry for entry in entries() if entry.actor is not None]
    expected = ["user.disabled", "user.enabled", "role.changed", "mfa.removed", "password.changed"]
    assert [entry.event for entry in written] == expected
    assert {entry.user_id for entry in written} == {bob.id}
    assert {entry.actor for entry in written} == {operator.name()}


def test_s25_tries_that_were_held_up_are_recorded_once_per_delay(world: World) -> None:
    forget_counts()
    configured = settings.read({**environ, "LOGIN_TRIES": "1/hour"})
    with serving(create_app(configured)) as running, Client(running.url, None, None) as client:
        statuses = [login(client, password="something else").status_code for _ in range(5)]
    assert statuses == [401, 401, 429, 429, 429]
    events = [entry.event for entry in recorded(3)]
    assert sorted(events) == ["login.failed", "login.failed", "login.throttled"]


def test_s25_what_becomes_of_a_second_factor_is_recorded(shop: Shop) -> None:
    eve = Account(shop, "eve@example.com")
    eve.enter()
    eve.enrol()
    eve.login()
    # A machine under load may answer some of them 503, which are no tries.
    while eve.login(totp_code=eve.wrong_code()).json()["code"] != "too_many_codes":
        pass
    eve.enter(recovery_code=eve.recovery_codes[0])
    renewed = eve.change("POST", f"{MFA}/recovery-codes", totp_code=eve.code(1)).json()["recovery_codes"]
    eve.client.request("DELETE", TOTP, json={"password": "canary", "recovery_code": renewed[0]})
    eve.change("DELETE", TOTP, totp_code=eve.wrong_code())
    eve.change("DELETE", TOTP, recovery_code=renewed[0])
    user_id = str(shop.world.sql("SELECT id FROM users")[0][0])
    expected = [
        ("login.succeeded", {}, None),
        ("mfa.enrolled", {}, user_id),
        ("login.failed", {"because": "no_code"}, None),
        *[("mfa.failed", {"because": "wrong_code"}, None)] * totp.WRONG_CODES_FREE,
        ("mfa.failed", {"because": "too_many_codes"}, None),
        ("mfa.recovery-code-used", {}, None),
        ("login.succeeded", {}, None),
        ("mfa.recovery-codes-renewed", {}, user_id),
        ("password.refused", {}, user_id),
        ("mfa.failed", {"because": "wrong_code"}, user_id),
        ("mfa.recovery-code-used", {}, user_id),
        ("mfa.removed", {}, user_id),
    ]
    written = recorded(len(expected))
    assert sorted(((entry.event, entry.facts, entry.actor) for entry in written), key=str) == sorted(expected, key=str)
    assert {str(entry.user_id) for entry in written} == {user_id}


def test_s25_what_staff_ask_of_an_order_is_recorded_and_what_its_owner_asks_is_not(
    shop: Shop, as_customer: Client, as_staff: Client
) -> None:
    first, second, third = (as_customer.order().json()["links"]["self"] for _ in range(3))
    assert as_customer.ask(first, "cancelled").status_code == 202
    answer = as_staff.ask(second, "cancelled")
    assert_problem(as_staff.ask(third, "delivered"), 409)
    [entry] = entries()
    order_id = second.rpartition("/")[2]
    facts = {"order_id": order_id, "to": "cancelled", "transition_id": answer.json()["id"]}
    assert told(entry) == ("transition.asked", str(as_customer.user.id), facts)
    assert (entry.actor, entry.client_address) == (str(as_staff.user.id), "127.0.0.1")


def test_s25_a_dead_letter_that_was_replayed_or_discarded_is_recorded_once(
    shop: Shop, as_staff: Client, world: World
) -> None:
    world.place(world.user(), {"BOWL": 1})
    with database.transaction() as connection:
        for kind in ("a", "b"):
            outbox.put(connection, kind)
        rows = [row.id for row in outbox.due(connection, None, [], 10)]
        dead_letters.bury(connection, rows, "ValueError", None, world.policy)
    letters = {kind: letter for letter, kind in world.sql("SELECT id, kind FROM dead_letters")}
    path = "/v1/ops/dead-letters"
    for _ in range(2):
        for kind in ("a", "orders.confirm"):
            assert as_staff.post(f"{path}/{letters[kind]}/replay").status_code == 200
        assert as_staff.post(f"{path}/{letters['b']}/discard", json={"reason": "no use"}).status_code == 200
    written = entries()
    assert {entry.actor for entry in written} == {str(as_staff.user.id)}
    assert {entry.client_address for entry in written} == {"127.0.0.1"}
    about = [(entry.event, entry.facts.get("letter"), entry.facts.get("how")) for entry in written]
    assert about == [
        ("dead-letter.replayed", letters["a"], "replayed"),
        ("dead-letter.replayed", letters["orders.confirm"], "retried"),
        ("transition.asked", None, None),
        ("dead-letter.discarded", letters["b"], "discarded"),
    ]


def test_s39_no_password_token_or_address_of_mail_gets_into_the_audit_log(
    anonymous: Client, world: World, ada: str
) -> None:
    tokens = anonymous.post("/v1/auth/login", json=ADA).json()
    for attempt in (ADA | {"password": "canary-password"}, ADA | {"email": "canary@example.com"}):
        anonymous.post("/v1/auth/login", json=attempt)
    anonymous.post("/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert len(recorded(4)) == 4
    written = str(world.sql("SELECT CAST(audit_log AS text) FROM audit_log"))
    for canary in ("canary", "example.com", "lovely", tokens["access_token"], tokens["refresh_token"]):
        assert canary not in written


def test_s25_a_storm_of_refusals_is_counted_and_does_not_fill_the_disk(world: World) -> None:
    known, times = uuid4(), ROWS_PER_WINDOW + 40

    async def storm() -> None:
        api_database = Database(database.async_engine(settings.current(), database.Role.API))
        refusals = Refusals(api_database)
        for _ in range(times):
            refusals.add(an_event(EventName.LOGIN_FAILED, user_id=None))
        refusals.add(an_event(EventName.LOGIN_FAILED, user_id=known))
        refusals.add(an_event(EventName.LOGIN_THROTTLED, user_id=None))
        await refusals.close()
        await api_database.engine.dispose()

    asyncio.run(storm())
    written = entries()
    assert len(written) == ROWS_PER_WINDOW + 3
    assert [entry.facts for entry in written if "more" in entry.facts] == [{"more": 40, "accounts": "unknown"}]
    assert known in {entry.user_id for entry in written}, "a guess at an account is not lost in the storm"
    assert verify().faults == 0


def test_s25_the_count_of_a_storm_is_written_when_its_minute_is_over_and_the_next_begins_anew(world: World) -> None:
    async def storms() -> None:
        api_database = Database(database.async_engine(settings.current(), database.Role.API))
        refusals = Refusals(api_database, window_seconds=3)
        for counted in (1, 2):
            for _ in range(ROWS_PER_WINDOW + 5):
                refusals.add(an_event(EventName.LOGIN_FAILED, user_id=None))
            for _ in range(200):
                if len(entries()) == counted * (ROWS_PER_WINDOW + 1):
                    break
                await asyncio.sleep(0.05)
        await refusals.close()
        await api_database.engine.dispose()

    asyncio.run(storms())
    assert [entry.facts["more"] for entry in entries() if "more" in entry.facts] == [5, 5]
