"""Requests that no HTTP library would send."""

import socket
import time
from contextlib import suppress

import pytest
from api_client import ORDERS, Client, Shop


def exchange(shop: Shop, request: bytes) -> tuple[int, bytes]:
    """Status and whole text of what comes back."""
    answer = b""
    with (
        socket.create_connection(shop.server.address, timeout=5) as connection,
        suppress(TimeoutError, ConnectionError),
    ):
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@pytest.mark.parametrize(
    "host", [b"[", b"[::1", b"//", b"a b", b"\xff", b"x:y", b"%", b"", b"x" * 5000], ids=lambda host: repr(host[:9])
)
@pytest.mark.parametrize("path", [b"/v1/orders?limit=1", b"/health/liveness", b"/v1/orders?x=1"])
def test_a_strange_host_fails_nothing(shop: Shop, as_staff: Client, host: bytes, path: bytes) -> None:
    as_staff.order()
    as_staff.order()
    token = as_staff.headers["Authorization"].encode()
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: " + host, b"Authorization: " + token, b"Connection: close"]
    status, answer = exchange(shop, b"\r\n".join(lines) + b"\r\n\r\n")
    assert status in ((400,) if b"x=1" in path else (200, 400)), answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/\xff HTTP/1.1",
        b"GET http://else.where/v1/orders HTTP/1.1",
        b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a:1 HTTP/1.1",
        b"GET /v1/orders HTTP/3.0",
        b"GET  HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"NONSENSE / HTTP/1.1",
        b"GET /v1/orders?\xff=\x00 HTTP/1.1",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1",
    ],
    ids=lambda line: line[:20].decode("latin-1"),
)
def test_a_strange_request_line_fails_nothing(shop: Shop, request_line: bytes) -> None:
    status, answer = exchange(shop, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status < 500, answer


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, identity",
        b"Expect: 100-continue\r\nContent-Length: 2",
        b"Content-Encoding: gzip\r\nContent-Length: 2",
    ],
)
def test_a_strange_length_fails_nothing(shop: Shop, headers: bytes) -> None:
    start = b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    status, answer = exchange(shop, start + headers + b"\r\n\r\n{}")
    assert status < 500, answer


def test_who_hangs_up_in_the_middle_leaves_no_trace(
    shop: Shop, as_customer: Client, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"POST {ORDERS} HTTP/1.1", "Host: x", f"Authorization: {as_customer.headers['Authorization']}"]
    lines += ["Idempotency-Key: k", "Content-Type: application/json", "Content-Length: 1000", "", '{"items":']
    with socket.create_connection(shop.server.address) as connection:
        connection.sendall("\r\n".join(lines).encode())
        time.sleep(0.2)
    time.sleep(0.3)
    assert as_customer.order(key="k").status_code == 201
    assert "unexpected error" not in caplog.text


def test_a_body_without_end_is_refused_before_it_ends(shop: Shop) -> None:
    with socket.create_connection(shop.server.address, timeout=10) as connection:
        connection.sendall(b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
