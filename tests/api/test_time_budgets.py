"""S29: no request is worked on for ever, and who may take longer says how long."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx2
import psycopg
import pytest
from api_client import ORDERS, Shop, assert_problem
from api_server import serving
from psycopg import Connection
from raw_http import connected, request
from world import World

from api.app import create_app
from models.identity.permissions import Role
from runtime import settings

ANSWER_SECONDS = 0.6


@contextmanager
def shop_with(world: World, answer_seconds: float, **more: str) -> Iterator[Shop]:
    """Settings that are read give a request more time than one statement may take; here it is to be the first."""
    configured = settings.read({**os.environ, **more})
    configured = configured.model_copy(update={"answer_timeout": timedelta(seconds=answer_seconds)})
    with serving(create_app(configured)) as server:
        shop = Shop(world, server)
        yield shop
        shop.close()


@pytest.fixture
def hurried(world: World) -> Iterator[Shop]:
    """A shop that gives a request less time than a lock takes to be given up."""
    with shop_with(world, ANSWER_SECONDS) as shop:
        yield shop


@pytest.fixture
def meddler() -> Iterator[Connection]:
    """Somebody else at the database."""
    with psycopg.connect(settings.current().database_url.get_secret_value()) as connection:
        yield connection
        connection.rollback()


def assert_given_up(response: httpx2.Response) -> None:
    assert_problem(response, 503, "took_too_long")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def at_work(meddler: Connection) -> int:
    """How many statements of the API run now."""
    [count] = meddler.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'orders_api' AND state <> 'idle'"
        " AND datname = current_database()"
    ).fetchone() or (0,)
    return int(count)


def test_s29_a_request_that_takes_too_long_is_given_up_and_frees_what_it_held(
    hurried: Shop, meddler: Connection
) -> None:
    clients = [hurried.client_as(Role.CUSTOMER) for _ in range(hurried.services.settings.database_pool_size + 2)]
    path = clients[0].order().headers["Location"]
    meddler.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    with ThreadPoolExecutor(len(clients)) as threads:
        for response in threads.map(lambda client: client.get(path), clients):
            assert_given_up(response)
    assert at_work(meddler) == 0, "nothing goes on for a caller who was told that it was given up"
    meddler.rollback()
    assert clients[0].get(path).status_code == 200


def test_s29_an_order_that_was_given_up_is_made_once_when_it_is_asked_for_again(
    hurried: Shop, meddler: Connection
) -> None:
    customer = hurried.client_as(Role.CUSTOMER)
    meddler.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    assert_given_up(customer.order(key="k"))
    meddler.rollback()
    assert customer.order(key="k").status_code == 201
    assert len(customer.get(ORDERS).json()["data"]) == 1


def test_s29_who_asked_to_wait_is_waited_with(hurried: Shop) -> None:
    customer = hurried.client_as(Role.CUSTOMER)
    order = customer.order()
    wait = {"Prefer": f"wait={round(3 * ANSWER_SECONDS)}"}
    began = time.monotonic()
    held = customer.get(order.headers["Location"], headers={**wait, "If-None-Match": order.headers["ETag"]})
    assert held.status_code == 304
    assert time.monotonic() - began > ANSWER_SECONDS
    asked = customer.ask(order.headers["Location"], "cancelled", wait)
    assert asked.status_code == 202, "nobody works on it, and the answer says so when the caller's patience is over"


def test_s29_the_time_in_which_a_body_arrives_is_the_client_s_own(hurried: Shop) -> None:
    customer = hurried.client_as(Role.CUSTOMER)
    token = f"Authorization: {customer.headers['Authorization']}"
    body = b'{"items":[{"sku":"BOWL","quantity":1}]}'
    head = request(
        "POST", ORDERS, token, "Idempotency-Key: k", "Content-Type: application/json", f"Content-Length: {len(body)}"
    )
    with connected(hurried.server.address) as wire:
        wire.send(head)
        for part in (body[:10], body[10:20], body[20:]):
            time.sleep(ANSWER_SECONDS)
            wire.send(part)
        assert wire.answer().status == 201


def test_s29_a_stream_outlives_the_budget_and_ends_after_its_life(world: World) -> None:
    with shop_with(world, ANSWER_SECONDS, STREAM_LIFE="2") as shop:
        customer = shop.client_as(Role.CUSTOMER)
        stream = customer.order().json()["links"]["stream"]
        began = time.monotonic()
        first = customer.get(stream)  # as long as it lasts
        assert 2 * ANSWER_SECONDS < time.monotonic() - began < 30
        assert first.text.count("event: ") == 1
        again = customer.get(stream, headers={"Last-Event-ID": "1"})
        assert again.status_code == 200
        assert "event: " not in again.text


def test_s29_an_export_that_goes_on_too_long_is_cut_off(world: World) -> None:
    with shop_with(world, 10, EXPORT_LIFE="1") as shop:
        customer = shop.client_as(Role.CUSTOMER)
        # More than what is on its way between a server and a client that does not read.
        bulky = {f"name-{number}": "x" * 500 for number in range(20)}
        for _ in range(25):
            world.accept(*(world.request(customer.user, {"BOWL": 1}, metadata=bulky) for _ in range(100)))
        with customer.stream("GET", ORDERS, headers={"Accept": "application/x-ndjson"}) as response:
            chunks = response.iter_raw(1000)
            next(chunks)
            time.sleep(1.5)
            with pytest.raises(httpx2.RemoteProtocolError):
                list(chunks)
