"""Multi-factor login over HTTP: setting it up, logging in with it, turning it off."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest
from api_client import Shop, assert_problem
from mfa_account import MFA, PASSWORD, TOTP, Account
from phone import Phone


@pytest.fixture
def ada(shop: Shop) -> Account:
    """Logged in, without multi-factor login."""
    account = Account(shop, "ada@example.com")
    account.enter()
    return account


@pytest.fixture
def eve(shop: Shop) -> Account:
    """With multi-factor login, and logged in with it."""
    account = Account(shop, "eve@example.com")
    account.enter()
    account.enrol()
    account.enter(totp_code=account.code())
    return account


def claims(tokens: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    return read


def test_mfa_who_has_none_logs_in_as_ever(ada: Account) -> None:
    tokens = ada.enter()
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert claims(tokens)["amr"] == ["pwd"] and "scope" not in claims(tokens)
    assert ada.client.get(MFA).json() == {"enabled_at": None, "required": False, "recovery_codes_left": 0}


def test_mfa_a_code_that_is_not_asked_for_does_no_harm(ada: Account) -> None:
    assert ada.login(totp_code="123456").status_code == 200


def test_mfa_enrolment_tells_the_secret_as_authenticator_apps_read_it(ada: Account) -> None:
    answer = ada.begin()
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json()
    uri = urlsplit(told["otpauth_uri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/Order Pipeline:ada@example.com")
    assert parse_qs(uri.query) == {"secret": [told["secret"]], "issuer": ["Order Pipeline"]}


def test_mfa_enrolment_needs_the_password(ada: Account) -> None:
    assert_problem(ada.begin(password="something else"), 403, "wrong_password")
    assert_problem(ada.confirm("123456"), 409, "no_pending_enrolment")


def test_mfa_counts_only_once_it_is_confirmed(ada: Account) -> None:
    phone = Phone(ada.begin().json()["secret"])
    assert_problem(ada.confirm(phone.wrong_code()), 403, "wrong_code")
    assert ada.login().status_code == 200
    assert ada.confirm(phone.code()).status_code == 200
    assert_problem(ada.login(), 401, "mfa_required")


def test_mfa_login_takes_the_password_and_a_code(eve: Account) -> None:
    refused = eve.login()
    assert_problem(refused, 401, "mfa_required")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert_problem(eve.login(totp_code=eve.wrong_code()), 401, "invalid_mfa_code")
    tokens = eve.enter(totp_code=eve.code(1))
    assert claims(tokens)["amr"] == ["pwd", "otp", "mfa"]
    assert eve.client.get("/v1/users/me").status_code == 200
    status = eve.client.get(MFA).json()
    assert status["enabled_at"] and status["recovery_codes_left"] == 10


def test_mfa_a_code_that_was_used_is_refused(eve: Account) -> None:
    code = eve.code(1)
    assert eve.login(totp_code=code).status_code == 200
    assert_problem(eve.login(totp_code=code), 401, "invalid_mfa_code")


def test_mfa_a_recovery_code_stands_in_for_the_app_once(eve: Account) -> None:
    assert eve.login(recovery_code=eve.recovery_codes[3]).status_code == 200
    assert_problem(eve.login(recovery_code=eve.recovery_codes[3]), 401, "invalid_mfa_code")
    assert eve.client.get(MFA).json()["recovery_codes_left"] == 9


@pytest.mark.parametrize("proof", [{}, {"totp_code": "000000"}, {"recovery_code": "aaaa-bbbb"}])
def test_mfa_who_does_not_know_the_password_learns_nothing_of_it(
    shop: Shop, ada: Account, eve: Account, proof: dict[str, str]
) -> None:
    """SECURITY S7: with it, without it, unknown or disabled, all are told the same."""
    answers = []
    shop.world.sql("UPDATE users SET disabled_at = now() WHERE email = 'ada@example.com'")
    for email, password in (
        (eve.email, "something else"),
        ("nobody@example.com", PASSWORD),
        (ada.email, PASSWORD),
    ):
        answer = shop.client().post("/v1/auth/login", json={"email": email, "password": password, **proof})
        problem = assert_problem(answer, 401, "invalid_credentials")
        names = sorted(name for name in answer.headers)
        answers.append(({**problem, "request_id": ""}, names, answer.headers["WWW-Authenticate"]))
    assert answers[0] == answers[1] == answers[2]


def test_mfa_with_a_wrong_password_no_code_is_spent(eve: Account) -> None:
    code = eve.code(1)
    wrong = {"email": eve.email, "password": "something else", "totp_code": code}
    assert_problem(eve.client.post("/v1/auth/login", json=wrong), 401, "invalid_credentials")
    assert eve.login(totp_code=code).status_code == 200


def test_mfa_wrong_codes_make_the_account_wait_and_recovery_codes_do_not(eve: Account) -> None:
    for _ in range(5):
        assert_problem(eve.login(totp_code=eve.wrong_code()), 401, "invalid_mfa_code")
    refused = eve.login(totp_code=eve.code(1))
    assert_problem(refused, 429, "too_many_codes")
    assert 0 < int(refused.headers["Retry-After"]) <= 30
    assert_problem(eve.login(), 401, "mfa_required")
    assert eve.login(recovery_code=eve.recovery_codes[0]).status_code == 200
    assert eve.login(totp_code=eve.code(1)).status_code == 200


@pytest.mark.parametrize(
    "proof",
    [
        {"totp_code": "12345"},
        {"totp_code": "1234567"},
        {"totp_code": "\u0661\u0662\u0663\u0664\u0665\u0666"},
        {"totp_code": 123456},
        {"recovery_code": ""},
        {"recovery_code": "a" * 65},
        {"totp_code": "123456", "recovery_code": "abcd"},
    ],
    ids=str,
)
def test_mfa_what_cannot_be_a_code_is_refused_for_everybody_alike(ada: Account, proof: dict[str, Any]) -> None:
    for email in (ada.email, "nobody@example.com"):
        body = {"email": email, "password": PASSWORD, **proof}
        assert_problem(ada.client.post("/v1/auth/login", json=body), 422, "invalid_request")


def test_mfa_turning_it_on_ends_every_session_that_began_without_it(shop: Shop, ada: Account) -> None:
    before = [ada.enter()["refresh_token"] for _ in range(2)]
    ada.enrol()
    for token in before:
        assert_problem(ada.client.post("/v1/auth/refresh", json={"refresh_token": token}), 401, "invalid_refresh_token")


def test_mfa_a_session_lives_on_by_refreshing_without_another_code(eve: Account) -> None:
    tokens = eve.enter(totp_code=eve.code(1))
    refreshed = eve.client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200
    assert claims(refreshed.json())["amr"] == ["pwd", "otp", "mfa"]


def test_mfa_that_is_on_is_not_set_up_again(eve: Account) -> None:
    assert_problem(eve.begin(), 409, "mfa_already_enabled")
    assert_problem(eve.confirm(eve.code(1)), 409, "no_pending_enrolment")
    assert eve.login(totp_code=eve.code(1)).status_code == 200


@pytest.mark.parametrize(("method", "path"), [("DELETE", TOTP), ("POST", f"{MFA}/recovery-codes")])
def test_mfa_changes_need_the_password_and_a_code(eve: Account, ada: Account, method: str, path: str) -> None:
    assert_problem(eve.client.request(method, path, json={"password": PASSWORD}), 422, "invalid_request")
    wrong = {"password": "something else", "totp_code": eve.code(1)}
    assert_problem(eve.client.request(method, path, json=wrong), 403, "wrong_password")
    assert_problem(eve.change(method, path, totp_code=eve.wrong_code()), 403, "wrong_code")
    assert_problem(eve.change(method, path, recovery_code="no such code"), 403, "wrong_code")
    assert_problem(ada.change(method, path, totp_code="123456"), 409, "mfa_not_enabled")
    assert eve.change(method, path, totp_code=eve.code(1)).status_code in (200, 204)


def test_mfa_new_recovery_codes_void_the_old_ones(eve: Account) -> None:
    renewed = eve.change("POST", f"{MFA}/recovery-codes", recovery_code=eve.recovery_codes[0])
    assert renewed.status_code == 200
    codes = renewed.json()["recovery_codes"]
    assert len(codes) == 10 and not set(codes) & set(eve.recovery_codes)
    assert_problem(eve.login(recovery_code=eve.recovery_codes[1]), 401, "invalid_mfa_code")
    assert eve.login(recovery_code=codes[0]).status_code == 200


def test_mfa_that_was_turned_off_can_be_set_up_on_another_phone(eve: Account) -> None:
    session = eve.enter(totp_code=eve.code(1))["refresh_token"]
    old = eve.phone
    assert eve.change("DELETE", TOTP, recovery_code=eve.recovery_codes[0]).status_code == 204
    assert_problem(eve.client.post("/v1/auth/refresh", json={"refresh_token": session}), 401, "invalid_refresh_token")
    eve.enter()
    assert eve.client.get(MFA).json() == {"enabled_at": None, "required": False, "recovery_codes_left": 0}
    eve.enrol()
    assert old is not None and eve.phone is not None and old.secret != eve.phone.secret
    assert_problem(eve.login(totp_code=old.code()), 401, "invalid_mfa_code")
    assert eve.login(totp_code=eve.code()).status_code == 200
