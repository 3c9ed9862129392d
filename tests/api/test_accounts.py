"""Registration, login, and what keeps a login alive."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from api_client import Client, Shop, assert_problem
from logins import ADA, login, me, register


def test_who_registers_is_a_customer_and_can_log_in(anonymous: Client) -> None:
    user = register(anonymous, name="Ada")
    assert user.status_code == 201
    assert user.json().keys() == {"id", "email", "name", "role", "created_at"}
    assert (user.json()["email"], user.json()["name"], user.json()["role"]) == (ADA["email"], "Ada", "customer")
    tokens = login(anonymous)
    assert tokens.status_code == 200
    assert tokens.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (tokens.json()["token_type"], tokens.json()["expires_in"]) == ("Bearer", 900)
    assert me(anonymous, tokens.json()["access_token"]).json() == user.json()


@pytest.mark.parametrize("spelling", ["ada@example.com", " ADA@Example.COM ", "\uff41da@example.com"])
def test_an_address_has_one_account_however_it_is_spelled(anonymous: Client, spelling: str) -> None:
    register(anonymous)
    assert_problem(register(anonymous, email=spelling), 409, "email_taken")
    assert login(anonymous, email=spelling).status_code == 200


def test_of_ten_registrations_at_once_one_succeeds(shop: Shop) -> None:
    clients = [shop.client() for _ in range(10)]
    with ThreadPoolExecutor(len(clients)) as threads:
        codes = [response.status_code for response in threads.map(register, clients)]
    assert sorted(codes) == [201, *[409] * 9]


@pytest.mark.parametrize("email", ["ada", "ada@", "@example.com", "a da@example.com", "ada@example", "a@b@example.com"])
def test_what_is_no_address_is_refused_in_its_place(anonymous: Client, email: str) -> None:
    problem = assert_problem(register(anonymous, email=email), 422, "invalid_request")
    assert [flaw["pointer"] for flaw in problem["errors"]] == ["/email"]


@pytest.mark.parametrize("password", ["password123", "aaaaaaaaaa", "ada@example.com", "PASSWORD123"])
def test_a_weak_password_is_refused(anonymous: Client, password: str) -> None:
    assert_problem(register(anonymous, password=password), 422, "weak_password")


@pytest.mark.parametrize(
    ("password", "code"), [("", "weak_password"), ("7 chars", "weak_password"), ("x" * 257, "invalid_request")]
)
def test_a_password_has_8_to_256_characters(anonymous: Client, password: str, code: str) -> None:
    assert_problem(register(anonymous, password=password), 422, code)


@pytest.mark.parametrize("email", ["nobody", "a@b", "@", "nobody@example.com"])
def test_an_address_that_nobody_can_have_is_a_wrong_one(anonymous: Client, email: str) -> None:
    answer = anonymous.post("/v1/auth/login", json={"email": email + "  ", "password": "whatever it is"})
    assert_problem(answer, 401, "invalid_credentials")


@pytest.mark.parametrize("field", ["role", "id", "token_epoch", "disabled_at"])
def test_nobody_chooses_more_of_their_account_than_is_offered(anonymous: Client, field: str) -> None:
    problem = assert_problem(register(anonymous, **{field: "admin"}), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/{field}"


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(anonymous: Client) -> None:
    register(anonymous)
    wrong = assert_problem(login(anonymous, password="something else"), 401, "invalid_credentials")
    unknown = assert_problem(login(anonymous, email="eve@example.com"), 401, "invalid_credentials")
    assert {**wrong, "request_id": ""} == {**unknown, "request_id": ""}


@pytest.fixture
def tokens(anonymous: Client) -> dict[str, Any]:
    register(anonymous)
    answer: dict[str, Any] = login(anonymous).json()
    return answer


def test_a_token_is_verified_by_the_published_keys(anonymous: Client, tokens: dict[str, Any]) -> None:
    published = anonymous.get("/.well-known/jwks.json").json()
    assert all(key.keys() == {"kty", "crv", "use", "alg", "kid", "x"} for key in published["keys"])
    keys = {key["kid"]: jwt.PyJWK(key) for key in published["keys"]}
    header = jwt.get_unverified_header(tokens["access_token"])
    claims = jwt.decode(
        tokens["access_token"], keys[header["kid"]], ["EdDSA"], audience="order-pipeline-api", issuer="order-pipeline"
    )
    assert (header["typ"], header["alg"], claims["role"]) == ("at+jwt", "EdDSA", "customer")
    assert me(anonymous, tokens["access_token"]).json()["id"] == claims["sub"]
