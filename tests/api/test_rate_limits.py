"""How many requests one caller, or one address without a caller, may send (S36), at an API with tight limits."""

import re
from collections.abc import Iterator
from os import environ
from typing import Any

import httpx2
import pytest
from api_client import Client, Shop, assert_problem
from api_server import Server, serving
from world import World, forget_counts

from api.app import create_app
from models.identity.permissions import Role
from ops.processes import ports
from runtime import settings

PER_CALLER, PER_ADDRESS = 12, 8
RATES = {"REQUESTS_PER_CALLER": f"{PER_CALLER}/hour", "REQUESTS_PER_ADDRESS": f"{PER_ADDRESS}/hour"}
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def tight(world: World) -> Iterator[Server]:
    """An API of its own for each test: what was counted in it is not forgotten. Its broker is lost."""
    lost = f"redis://127.0.0.1:{ports.free()}/0"
    configured = settings.read({**environ, **RATES, "TRUSTED_PROXIES": "127.0.0.1", "BROKER_URL": lost})
    forget_counts()
    with serving(create_app(configured)) as running:
        yield running


@pytest.fixture
def shop(world: World, tight: Server) -> Iterator[Shop]:
    opened = Shop(world, tight)
    yield opened
    opened.close()


def at(client: Client, address: str) -> Client:
    client.headers["X-Forwarded-For"] = address
    return client


def left(answer: httpx2.Response) -> int:
    found = re.fullmatch(r'"(caller|address)";r=(\d+);t=\d+', answer.headers["RateLimit"])
    assert found
    return int(found[2])


def test_s36_every_answer_says_what_is_left_and_the_last_when_to_come_back(shop: Shop) -> None:
    ada = at(shop.client_as(Role.CUSTOMER), HERE)
    answers = [ada.get("/v1/users/me") for _ in range(PER_CALLER)]
    assert {answer.status_code for answer in answers} == {200}
    assert [left(answer) for answer in answers] == list(range(PER_CALLER - 1, -1, -1))
    refused = ada.get("/v1/users/me")
    assert_problem(refused, 429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 3600 / PER_CALLER
    for answer in (*answers, refused):
        assert answer.headers["RateLimit-Policy"] == f'"caller";q={PER_CALLER};w=3600'
    assert left(refused) == 0


def test_s36_placing_orders_is_limited_and_a_refusal_is_not_kept_under_its_key(shop: Shop, world: World) -> None:
    ada = at(shop.client_as(Role.CUSTOMER), HERE)
    assert [ada.order().status_code for _ in range(PER_CALLER + 1)] == [201] * PER_CALLER + [429]
    assert world.sql("SELECT count(*) FROM idempotency_keys") == [(PER_CALLER,)]


def test_s36_placing_an_order_asks_no_broker(shop: Shop) -> None:
    ada = at(shop.client_as(Role.CUSTOMER), HERE)
    answer = ada.order()
    assert answer.status_code == 201
    assert left(answer) == PER_CALLER - 1
    assert shop.services.throttle.counters.is_shared, "the broker is lost, and nobody has noticed"


def test_s36_callers_behind_one_address_do_not_use_up_each_others_limit_nor_that_of_strangers(shop: Shop) -> None:
    ada, eve = (at(shop.client_as(Role.CUSTOMER), HERE) for _ in range(2))
    stranger = at(shop.client(), HERE)
    for _ in range(PER_CALLER + 1):
        ada.get("/v1/users/me")
    for _ in range(PER_ADDRESS + 1):
        stranger.get("/v1/users/me")
    assert_problem(ada.get("/v1/users/me"), 429)
    assert_problem(stranger.get("/v1/users/me"), 429)
    assert eve.get("/v1/users/me").status_code == 200


WITHOUT_A_GOOD_TOKEN: dict[str, dict[str, Any]] = {
    "no token": {"url": "/v1/users/me"},
    "a bad token": {"url": "/v1/users/me", "headers": {"Authorization": "Bearer x.y.z"}},
    "a bad token, to order": {"method": "POST", "url": "/v1/orders", "headers": {"Authorization": "Bearer x"}},
    "an unknown path": {"url": "/v1/nowhere", "headers": {"Authorization": "Bearer x"}},
    "an unknown method": {"method": "DELETE", "url": "/v1/orders"},
    "a public route": {"url": "/.well-known/jwks.json"},
    "a public route, with a token": {"url": "/.well-known/jwks.json", "headers": {"Authorization": "Bearer x"}},
    "a login": {"method": "POST", "url": "/v1/auth/login", "json": {"email": "a@example.com", "password": "x"}},
    "a body that is too large": {"method": "POST", "url": "/v1/auth/login", "content": b"x" * 5000},
    "the description": {"url": "/openapi.json"},
}


@pytest.mark.parametrize("request_", WITHOUT_A_GOOD_TOKEN.values(), ids=list(WITHOUT_A_GOOD_TOKEN))
def test_s36_without_a_good_token_requests_count_for_their_address(shop: Shop, request_: dict[str, Any]) -> None:
    here, there = at(shop.client(), HERE), at(shop.client(), THERE)
    sent = {"method": "GET", **request_}
    statuses = [here.request(**sent).status_code for _ in range(PER_ADDRESS)]
    assert 429 not in statuses
    refused = here.request(**sent)
    assert_problem(refused, 429, "rate_limited")
    assert refused.headers["RateLimit-Policy"] == f'"address";q={PER_ADDRESS};w=3600'
    assert here.get("/v1/users/me").status_code == 429, "whatever it was they asked for, it counts together"
    assert there.request(**sent).status_code == statuses[0]


def test_s36_that_the_process_lives_is_said_however_often_it_is_asked(shop: Shop) -> None:
    here = at(shop.client(), HERE)
    for _ in range(PER_ADDRESS + 1):
        here.get("/v1/nowhere")
    assert {here.get("/health/liveness").status_code for _ in range(PER_ADDRESS + 1)} == {200}
