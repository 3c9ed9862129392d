"""Four things that httptools and uvicorn let through (25 November 2026). The corpus of hostile requests found them.

A request without a version was answered as if it were HTTP/1.1, though it has neither headers nor a Host. A target
beyond 64 KiB was "unreadable", because the parser takes no longer one apart. What came behind a wish for another
protocol, in the same packet, was thrown away, and its sender waited for ever. And what could not be read behind a good
request was refused at once: the refusal stood in front of the good request's answer, or in the middle of it.
"""

from api_client import Client, Shop
from raw_http import ask, connected, request

LIVENESS = "/health/liveness"


def test_a_request_without_a_version_is_none(shop: Shop) -> None:
    assert ask(shop.server.address, b"GET /health/liveness\r\nHost: x\r\n\r\n").status == 400


def test_a_target_beyond_64_kib_is_too_long(shop: Shop) -> None:
    assert ask(shop.server.address, request("GET", "/" + "x" * 70_000)).status == 414


def test_what_comes_behind_a_wish_for_another_protocol_is_answered(shop: Shop) -> None:
    wish = request("GET", LIVENESS, "Connection: Upgrade", "Upgrade: h2c", "X-Request-ID: the-wish")
    with connected(shop.server.address, patience_seconds=5) as wire:
        wire.send(wish * 500 + request("GET", LIVENESS, "X-Request-ID: the-next-one"))
        ids = [wire.answer().headers["x-request-id"] for _ in range(501)]
    assert ids == ["the-wish"] * 500 + ["the-next-one"]


def test_a_refusal_waits_for_the_answer_before_it(shop: Shop, as_customer: Client) -> None:
    token = f"Authorization: {as_customer.headers['Authorization']}"
    with connected(shop.server.address, patience_seconds=5) as wire:
        wire.send(request("GET", "/v1/products", token) + b"\x00nonsense\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.is_closed()
