"""Access tokens that are not ours, no longer ours, or not quite tokens: 401, all alike."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import jwt
import pytest
from api_client import Client, Shop, assert_problem, repeated
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from models.identity import signing_keys
from runtime import database, settings

Change = dict[str, Any]


@pytest.fixture
def key(shop: Shop) -> signing_keys.SigningKey:
    """The key that signs."""
    with database.transaction(database.Role.API) as connection:
        return signing_keys.load(connection, settings.current())[0]


@pytest.fixture
def forge(shop: Shop, key: signing_keys.SigningKey) -> Callable[..., str]:
    """Our own tokens, with some claims and headers changed; a change to None leaves one out."""
    user, private = shop.world.user(), key.private
    assert private is not None

    def token(claims: Change | None = None, headers: Change | None = None, signer: Any = None) -> str:
        now = int(time.time())
        usual = {"iss": "order-pipeline", "aud": "order-pipeline-api", "sub": str(user.id), "role": "customer"}
        times: Change = {"iat": now, "exp": now + 900, "jti": "one"}
        session: Change = {"sid": "00000000-0000-7000-8000-000000000000", "epoch": 0}
        head: Change = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
        signed = f"{_segment(head | (headers or {}))}.{_segment(usual | times | session | (claims or {}))}"
        return f"{signed}.{_base64((signer or private).sign(signed.encode()))}"

    return token


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _segment(value: Change) -> str:
    return _base64(json.dumps({name: each for name, each in value.items() if each is not None}).encode())


def me(client: Client, *authorization: str | bytes) -> httpx2.Response:
    return client.get("/v1/users/me", headers=repeated("Authorization", *authorization))


def assert_refused(response: httpx2.Response) -> None:
    problem = assert_problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert problem["detail"] == "The access token is missing, malformed, expired or revoked."


def test_the_forger_can_make_a_good_one(anonymous: Client, forge: Callable[..., str]) -> None:
    assert me(anonymous, f"Bearer {forge()}").status_code == 200
    assert me(anonymous, f"bearer {forge()}").status_code == 200


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "somebody-else"},
        {"iss": None},
        {"aud": "another-api"},
        {"aud": None},
        {"sub": None},
        {"sub": "nobody"},
        {"sub": ""},
        {"sub": 7},
        {"role": "root"},
        {"role": ["admin"]},
        {"role": None},
        {"scope": "everything"},
        {"scope": ""},
        {"scope": ["mfa:manage"]},
        {"scope": "mfa:manage everything"},
        {"jti": None},
        {"sid": None},
        {"sid": "none"},
        {"sid": 7},
        {"epoch": None},
        {"epoch": "0"},
        {"epoch": True},
        {"epoch": 0.5},
        {"jti": 7},
        {"exp": None},
        {"exp": NOW - 3600, "iat": NOW - 4000},
        {"exp": str(NOW + 900)},
        {"exp": NOW + 600.5},
        {"exp": 10**400},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": True},
        {"iat": None},
        {"iat": str(NOW)},
        {"iat": NOW + 3600, "exp": NOW + 3700},
        {"nbf": NOW + 3600},
        {"iat": NOW - 10, "exp": NOW + 3600},
    ],
    ids="-".join,  # not the values: every xdist worker has its own clock
)
def test_wrong_claims_are_refused(anonymous: Client, forge: Callable[..., str], claims: Change) -> None:
    assert_refused(me(anonymous, f"Bearer {forge(claims)}"))


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": None},
        {"kid": "unknown"},
        {"kid": "../../etc/passwd"},
        {"kid": ["list"]},
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "at+jwt\u0000"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": None},
        *({name: "x"} for name in ("jku", "x5u", "jwk", "x5c", "b64")),
        {"crit": ["exp"]},
    ],
    ids=str,
)
def test_wrong_headers_are_refused(anonymous: Client, forge: Callable[..., str], headers: Change) -> None:
    assert_refused(me(anonymous, f"Bearer {forge(headers=headers)}"))


def test_another_key_is_refused(anonymous: Client, forge: Callable[..., str]) -> None:
    assert_refused(me(anonymous, f"Bearer {forge(signer=Ed25519PrivateKey.generate())}"))


def test_an_unsigned_token_is_refused(anonymous: Client, forge: Callable[..., str]) -> None:
    unsigned = forge(headers={"alg": "none"}).rpartition(".")[0]
    assert_refused(me(anonymous, f"Bearer {unsigned}."))
    assert_refused(me(anonymous, f"Bearer {unsigned}"))


@pytest.mark.parametrize("form", [serialization.Encoding.Raw, serialization.Encoding.PEM])
def test_the_public_key_as_a_shared_secret_is_refused(
    anonymous: Client, forge: Callable[..., str], key: signing_keys.SigningKey, form: serialization.Encoding
) -> None:
    is_raw = form is serialization.Encoding.Raw
    public = serialization.PublicFormat.Raw if is_raw else serialization.PublicFormat.SubjectPublicKeyInfo
    signed = forge(headers={"alg": "HS256"}).rpartition(".")[0]
    mac = hmac.new(key.public.public_bytes(form, public), signed.encode(), hashlib.sha256).digest()
    assert_refused(me(anonymous, f"Bearer {signed}.{_base64(mac)}"))


def test_a_changed_token_is_refused(anonymous: Client, forge: Callable[..., str]) -> None:
    head, _, signature = forge().split(".")
    admin = forge({"role": "admin"}).split(".")[1]
    assert_refused(me(anonymous, f"Bearer {head}.{admin}.{signature}"))


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic YTpi", "Token x", "Bearer a.b", "Bearer a.b.c.d", "Bearer ...", "Bearer {}"],
)
def test_what_is_no_bearer_token_is_refused(anonymous: Client, authorization: str) -> None:
    assert_refused(me(anonymous, authorization))


def test_a_missing_header_is_refused(anonymous: Client) -> None:
    assert_refused(me(anonymous))


@pytest.mark.parametrize("token", [b"\xff\xfe", b"\xc3\xa9.\xc3\xa9.\xc3\xa9", "a" * 4097, "e30." * 2000])
def test_a_token_of_strange_bytes_is_refused(anonymous: Client, token: bytes | str) -> None:
    assert_refused(me(anonymous, b"Bearer " + (token if isinstance(token, bytes) else token.encode())))


def test_a_deeply_nested_token_is_refused(anonymous: Client) -> None:
    nested = _base64(b"[" * 1500 + b"]" * 1500)
    assert_refused(me(anonymous, f"Bearer {nested}.{nested}."[:4096]))


def test_two_authorization_headers_are_no_request_to_be_read(anonymous: Client, forge: Callable[..., str]) -> None:
    good = f"Bearer {forge()}"
    assert_problem(me(anonymous, good, good), 400, "unreadable_request")


def test_a_token_is_refused_once_it_has_expired_though_it_was_remembered(
    anonymous: Client, forge: Callable[..., str]
) -> None:
    leeway_seconds = 30
    token = forge({"iat": int(time.time()) - 60, "exp": int(time.time()) - leeway_seconds + 3})
    assert me(anonymous, f"Bearer {token}").status_code == 200
    time.sleep(3.1)
    assert_refused(me(anonymous, f"Bearer {token}"))


def test_the_token_of_a_user_who_is_gone_is_refused_everywhere(shop: Shop, as_customer: Client) -> None:
    shop.world.sql("DELETE FROM users")
    assert_refused(as_customer.get("/v1/users/me"))
    assert_refused(as_customer.order())


def test_a_verified_token_is_what_pyjwt_reads_too(forge: Callable[..., str], key: signing_keys.SigningKey) -> None:
    claims = jwt.decode(forge(), key.public, ["EdDSA"], audience="order-pipeline-api")
    assert claims["role"] == "customer"
