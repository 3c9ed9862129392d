"""The access log: one line a request, under a name that documents promise, and of a refusal why it was refused.

And what else a process says of the database when it cannot look at it: the cause, and nothing that a client sent.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from api_client import ORDERS, Client, Shop, assert_problem
from api_process import ApiProcess, running
from at_once import at_once
from raw_http import Answer, connected, request
from running_system import eventually

from api.identity.hashing import WAITING_MAX
from models.identifiers import uuid7
from models.identity.permissions import Role

CANARY = "canary-4711"
HEAD_SECONDS = 1
# More than may hash or wait at once.
LOGINS = 2 * ((os.cpu_count() or 1) + WAITING_MAX)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running(tmp_path_factory.mktemp("access"), {"HEADERS_TIMEOUT": str(HEAD_SECONDS)}) as started:
        yield started


@pytest.fixture
def customer(shop: Shop, api: ApiProcess) -> Iterator[Client]:
    user = shop.world.user(Role.CUSTOMER)
    with Client(api.url, user, shop.services.tokens.issue(user, uuid7())) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_of_a_client_s_is_logged(api: ApiProcess) -> Iterator[None]:
    yield
    assert CANARY not in api.log.read_text()


def lines_of(api: ApiProcess, request_id: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of the access log about this request. They are written behind its answer."""

    def found() -> list[dict[str, Any]]:
        return [line for line in api.lines("request") if line["request_id"] == request_id]

    eventually(lambda: len(found()) == count, f"{count} lines about {request_id}")
    return found()


def line_of(api: ApiProcess, request_id: str) -> dict[str, Any]:
    [line] = lines_of(api, request_id)
    return line


def test_an_answer_has_a_line_of_the_documented_source_and_no_code(api: ApiProcess, customer: Client) -> None:
    """Found by a review on 25 November 2026: when modules moved, a search-and-replace took the name of the access log
    for that of a module, and made `api.identity.access` of it. Whoever looked for `api.access` found nothing."""
    placed = customer.order()
    assert placed.status_code == 201
    line = line_of(api, placed.headers["X-Request-ID"])
    assert line["source"] == "api.access"
    assert (line["method"], line["route"], line["status"]) == ("POST", ORDERS, 201)
    assert line["caller"] == str(customer.user.id) and line["client"] == "127.0.0.1" and line["ms"] > 0
    assert not line.keys() & {"code", "cause"}


def test_the_line_of_a_refusal_has_the_code_that_was_sent(api: ApiProcess, customer: Client) -> None:
    def refused(status: int, method: str, path: str, **more: Any) -> None:
        problem = assert_problem(customer.request(method, path, **more), status)
        line = line_of(api, problem["request_id"])
        assert (line["status"], line["code"], line.get("cause")) == (status, problem["code"], None)

    refused(404, "GET", f"/v1/{CANARY}")
    refused(405, "DELETE", ORDERS)
    refused(403, "GET", "/v1/users")
    refused(401, "GET", ORDERS, headers={"Authorization": f"Bearer {CANARY}"})
    refused(422, "POST", ORDERS, json={"items": CANARY}, headers={"Idempotency-Key": CANARY})


def test_so_has_that_of_a_refusal_which_is_kept_with_its_key(api: ApiProcess, customer: Client) -> None:
    for _ in range(2):  # the second is a retry, and gets the stored document
        answer = customer.order(sku=CANARY, key="kept")
        assert_problem(answer, 422, "unknown_product")
        assert line_of(api, answer.headers["X-Request-ID"])["code"] == "unknown_product"


def test_the_line_of_a_503_says_what_was_lacking_and_the_client_is_not_told(api: ApiProcess, customer: Client) -> None:
    def login() -> Any:
        with Client(api.url, None, None) as client:
            return client.post("/v1/auth/login", json={"email": f"{CANARY}@shop.test", "password": CANARY})

    refused = [answer for answer in at_once(*[login] * LOGINS) if answer.status_code == 503]
    assert refused, "so many are too many"
    for answer in refused:
        problem = assert_problem(answer, 503, "unavailable")
        line = line_of(api, problem["request_id"])
        assert line["code"] == "unavailable" and line["cause"] in {"hashing_full", "hashing_slow"}
        assert "hashing" not in answer.text


def sent(api: ApiProcess, *parts: bytes) -> Answer:
    with connected(api.address) as wire:
        for part in parts:
            wire.send(part)
        return wire.answer()


def test_what_never_became_a_request_has_a_whole_line_too(api: ApiProcess, shop: Shop) -> None:
    unreadable = line_of(api, sent(api, b"\x16\x03\x01 no TLS here").headers["x-request-id"])
    late = line_of(api, sent(api, b"GET / HT").headers["x-request-id"])
    assert (unreadable["status"], unreadable["code"]) == (400, "unreadable_request")
    assert (late["status"], late["code"]) == (408, "request_timeout")
    assert 0 <= unreadable["ms"] < late["ms"] and late["ms"] >= 1000 * HEAD_SECONDS
    for line in (unreadable, late):
        assert (line["source"], line["client"], line["caller"]) == ("api.access", "127.0.0.1", None)


def test_a_body_that_cannot_be_read_is_told_of_the_request_that_it_belongs_to(
    api: ApiProcess, customer: Client
) -> None:
    """It had an id of its own, which nothing else in the log had, and neither method nor caller."""
    head = request(
        "POST",
        ORDERS,
        "X-Request-ID: body-of-one",
        f"Authorization: {customer.headers['Authorization']}",
        "Idempotency-Key: body-of-one",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked",
    )
    with connected(api.address) as wire:
        wire.send(head + b"1\r\n{\r\n")
        eventually(lambda: customer.get("/health/liveness").is_success, "the first part has been taken up")
        wire.send(f"{CANARY}\r\n".encode())
        answer = wire.answer()
    assert (answer.status, answer.headers["x-request-id"]) == (400, "body-of-one")
    refused, own = lines_of(api, "body-of-one", count=2)
    assert (refused["status"], refused["method"], refused["code"]) == (400, "POST", "unreadable_request")
    assert (own["status"], own["method"]) == (None, "POST")
    assert 0 < refused["ms"] <= own["ms"]


def test_orders_that_could_not_be_written_together_are_told_of_with_cause_and_requests(
    api: ApiProcess, shop: Shop, customer: Client
) -> None:
    """Found by the same review: of batches that failed, the API said nothing."""
    shop.world.sql("DELETE FROM users WHERE id = :id", id=customer.user.id)
    answer = customer.order(key=CANARY)
    assert_problem(answer, 401, "invalid_token")  # their token outlived them
    [line] = api.lines("a batch of orders failed, and each is written alone")
    assert (line["level"], line["times"], line["orders"]) == ("warning", 1, 1)
    assert (line["error"], line["sqlstate"]) == ("IntegrityError", "23503")
    assert line["constraint"].endswith("_user_id")
    assert line["request_ids"] == [answer.headers["X-Request-ID"]] and "request_id" not in line


def test_revocations_that_cannot_be_seen_and_gauges_that_cannot_be_read_are_told_with_their_cause(
    api: ApiProcess, shop: Shop
) -> None:
    """Found by the same review: the runbook says that these lines name the error. They named its type."""

    def told(table: str, event: str) -> dict[str, Any]:
        def is_told() -> bool:
            prometheus.get("/metrics")
            return bool(api.lines(event))

        shop.world.sql(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            with Client(api.url, None, None) as prometheus:
                eventually(is_told, event)
        finally:
            shop.world.sql(f"ALTER TABLE elsewhere RENAME TO {table}")
        return api.lines(event)[0]

    for table, event in {
        "revocations": "revocations cannot be seen; soon no token is believed",
        "daily_orders": "a scrape lacks a part",
    }.items():
        line = told(table, event)
        assert (line["error"], line["sqlstate"]) == ("ProgrammingError", "42P01")
        assert line["message"] == f'relation "{table}" does not exist'
        assert "exception" not in line
    eventually(lambda: bool(api.lines("revocations can be seen again")), "a look that succeeds")
