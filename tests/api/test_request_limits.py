"""S26 and S27: how large a request may be, that it can be read in one way only, and that who is refused hears of it."""

import json
import threading

import psutil
import pytest
from api_client import ORDERS, Client, Shop
from raw_http import Answer, ask, chunk, connected, request

from api.edge import request_limits
from api.edge.http_protocol import HEAD_BYTES_MAX, LINGER_BYTES_MAX

JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
MANY_BYTES = 5_000_000
assert request_limits.BODY_BYTES_MAX < MANY_BYTES < LINGER_BYTES_MAX


def assert_refused(answer: Answer, status: int, code: str) -> None:
    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", [ORDERS, "/v1/auth/login", "/v1/orders/batch", "/v1/nowhere", "/health/liveness"])
@pytest.mark.parametrize("headers", [[], ["Connection: close"], ["Expect: 100-continue"]], ids=str)
def test_s26_who_sends_much_too_much_before_reading_still_reads_413(shop: Shop, path: str, headers: list[str]) -> None:
    head = request("POST", path, JSON, *headers, f"Content-Length: {MANY_BYTES}")
    with connected(shop.server.address) as wire:
        wire.send(head)
        for _ in range(MANY_BYTES // 50_000):
            wire.send(b"x" * 50_000)
        assert_refused(wire.answer(), 413, "body_too_large")
        assert wire.is_closed()


@pytest.mark.parametrize("path", [ORDERS, "/v1/auth/login", "/v1/orders/batch", "/v1/nowhere", "/health/liveness"])
def test_s26_a_body_in_chunks_is_counted_before_anybody_asks_who_sends_it(shop: Shop, path: str) -> None:
    with connected(shop.server.address) as wire:
        wire.send(request("POST", path, JSON, CHUNKED))
        for _ in range(MANY_BYTES // 50_000):
            wire.send(chunk(b"x" * 50_000))
        assert_refused(wire.answer(), 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "most"),
    [(ORDERS, request_limits.BODY_BYTES_MAX), ("/v1/auth/login", request_limits.AUTH_BODY_BYTES_MAX)],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_s26_the_limit_is_met_to_the_byte(shop: Shop, path: str, most: int, is_chunked: bool) -> None:
    def sent(size: int) -> Answer:
        body = b" " * size
        if is_chunked:
            return ask(shop.server.address, request("POST", path, JSON, CHUNKED) + chunk(body) + b"0\r\n\r\n")
        return ask(shop.server.address, request("POST", path, JSON, body=body))

    assert sent(most).status == (401 if path == ORDERS else 400)
    assert_refused(sent(most + 1), 413, "body_too_large")


def test_s26_an_order_may_come_in_chunks(as_customer: Client, shop: Shop) -> None:
    headers = [f"Authorization: {as_customer.headers['Authorization']}", "Idempotency-Key: k", JSON, CHUNKED]
    with connected(shop.server.address) as wire:
        wire.send(request("POST", ORDERS, *headers))
        for part in (b'{"items":[{"sku":"BOWL",', b'"quantity":1}]}'):
            wire.send(chunk(part))
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 201
        wire.send(request("GET", "/health/liveness"))
        assert wire.answer().status == 200, "the connection goes on"


def test_s26_who_goes_on_sending_after_the_answer_is_not_heard_for_ever(shop: Shop) -> None:
    with connected(shop.server.address) as wire:
        wire.send(request("POST", ORDERS, JSON, "Content-Length: 999999999"))
        assert wire.answer().status == 413
        with pytest.raises(ConnectionError):
            for _ in range(3 * LINGER_BYTES_MAX // 65536):
                wire.send(b"x" * 65536)


def test_s26_what_is_thrown_away_costs_no_memory(shop: Shop) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    done = threading.Event()

    def insist() -> None:
        with connected(shop.server.address) as wire:
            wire.send(request("POST", ORDERS, JSON, "Content-Length: 15000000"))
            for _ in range(150):
                wire.send(b"x" * 100_000)
            assert wire.answer().status == 413
            done.wait(10)

    threads = [threading.Thread(target=insist) for _ in range(20)]
    for thread in threads:
        thread.start()
    done.set()
    for thread in threads:
        thread.join()
    assert process.memory_info().rss - before < 30_000_000, "300 MB were sent"


def test_s26_a_refused_request_whose_body_still_comes_leaves_its_connection_usable(shop: Shop) -> None:
    with connected(shop.server.address) as wire:
        wire.send(request("POST", ORDERS, JSON, "Content-Length: 20"))
        assert wire.answer().status == 401
        wire.send(b"x" * 20 + request("GET", "/health/liveness"))
        assert wire.answer().status == 200


def test_s27_64_headers_are_read_and_65_are_not(shop: Shop) -> None:
    def sent(count: int) -> Answer:
        others = [f"X-{number}: 1" for number in range(count - 1)]
        return ask(shop.server.address, request("GET", "/health/liveness", *others))

    assert sent(request_limits.FIELDS_MAX).status == 200
    assert_refused(sent(request_limits.FIELDS_MAX + 1), 431, "headers_too_large")


def test_s27_16_kib_of_headers_are_read_and_a_byte_more_is_not(shop: Shop) -> None:
    def sent(size: int) -> Answer:
        padding = "x" * (size - len("hostx") - len("x-padding"))
        return ask(shop.server.address, request("GET", "/health/liveness", f"X-Padding: {padding}"))

    assert sent(request_limits.FIELD_BYTES_MAX).status == 200
    assert_refused(sent(request_limits.FIELD_BYTES_MAX + 1), 431, "headers_too_large")


def test_s27_4_kib_of_target_are_read_and_a_byte_more_is_not(shop: Shop) -> None:
    def sent(size: int, mark: str) -> Answer:
        path = "/health/liveness" + mark
        return ask(shop.server.address, request("GET", path + "x" * (size - len(path))))

    most = request_limits.TARGET_BYTES_MAX
    assert sent(most, "?").status == 400
    assert_refused(sent(most + 1, "?"), 414, "target_too_long")
    assert sent(most - 1, "/").status == 404
    assert_refused(sent(most + 1, "/"), 414, "target_too_long")


@pytest.mark.parametrize(
    ("opening", "status", "code"),
    [
        (b"GET /health/liveness HTTP/1.1\r\nHost: x\r\nX-Long: ", 431, "headers_too_large"),
        (b"GET /health/liveness?", 414, "target_too_long"),
    ],
)
def test_s27_a_head_without_end_is_refused_while_it_comes(shop: Shop, opening: bytes, status: int, code: str) -> None:
    with connected(shop.server.address) as wire:
        wire.send(opening)
        for _ in range(10 * HEAD_BYTES_MAX // 4096):
            wire.send(b"x" * 4096)
        assert_refused(wire.answer(), status, code)
        assert wire.is_closed()


@pytest.mark.parametrize("hosts", [[], ["Host: a", "Host: b"], ["Host: a", "Host: a"]], ids=str)
def test_s27_a_request_has_one_host(shop: Shop, hosts: list[str]) -> None:
    answer = ask(shop.server.address, request("GET", "/health/liveness", *hosts, host=None))
    assert_refused(answer, 400, "unreadable_request")


def test_s27_a_probe_that_speaks_http_1_0_needs_no_host(shop: Shop) -> None:
    assert ask(shop.server.address, b"GET /health/liveness HTTP/1.0\r\n\r\n").status == 200


def test_s27_a_request_has_one_authorization(shop: Shop, as_customer: Client) -> None:
    one = f"Authorization: {as_customer.headers['Authorization']}"
    assert ask(shop.server.address, request("GET", "/v1/users/me", one)).status == 200
    assert_refused(ask(shop.server.address, request("GET", "/v1/users/me", one, one)), 400, "unreadable_request")


def test_what_cannot_be_read_does_not_disturb_the_answer_before_it(shop: Shop, as_customer: Client) -> None:
    """Two requests at once, and the second is none: its refusal must not stand in the middle of the first answer."""
    token = f"Authorization: {as_customer.headers['Authorization']}"
    with connected(shop.server.address) as wire:
        wire.send(request("GET", "/v1/products", token) + b"\x00nonsense\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.is_closed()
