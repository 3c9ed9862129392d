"""Every answer carries a request id, the client's own if it is well formed, and the security headers."""

import pytest
from api_client import ORDERS, Client, Shop, repeated

EVERY_KIND_OF_ANSWER = [
    ("GET", "/health/liveness", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/docs", 200),
    ("GET", "/.well-known/jwks.json", 200),
    ("GET", "/nowhere", 404),
    ("DELETE", ORDERS, 405),
    ("GET", ORDERS, 401),
    ("GET", "/health/liveness?x=1", 400),
    ("POST", "/v1/auth/logout", 415),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND_OF_ANSWER)
def test_every_answer_has_a_request_id(anonymous: Client, method: str, path: str, status: int) -> None:
    first, second = (anonymous.request(method, path) for _ in range(2))
    assert first.status_code == status
    assert first.headers["X-Request-ID"].startswith("req_")
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


@pytest.mark.parametrize("offered", ["12345678", "a" * 64, "A-Z_a-z-0-9", "0193e5a0-7c1e-7000-8000-000000000000"])
@pytest.mark.parametrize("path", ["/health/liveness", "/nowhere", ORDERS])
def test_a_well_formed_id_of_the_client_is_kept(anonymous: Client, offered: str, path: str) -> None:
    response = anonymous.get(path, headers={"X-Request-ID": offered})
    assert response.headers["X-Request-ID"] == offered
    assert response.is_success or response.json()["request_id"] == offered


@pytest.mark.parametrize(
    "offered", ["", "short", "a" * 65, "with space", "semi;colon", "caf\u00e9caf\u00e9".encode(), '"quoted"']
)
def test_any_other_id_is_replaced(anonymous: Client, offered: str | bytes) -> None:
    response = anonymous.get("/nowhere", headers=repeated("X-Request-ID", offered))
    assert response.headers["X-Request-ID"].startswith("req_")


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), None),
        (TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), None),
        (TRACE.replace("00f067aa0ba902b7", "0" * 16), None),
        (f"{TRACE}-more", None),
        ("01" + TRACE[2:], None),
        ("", None),
    ],
)
def test_work_takes_along_the_trace_of_who_asked_for_it(
    shop: Shop, as_customer: Client, offered: str, kept: str | None
) -> None:
    headers = {"traceparent": offered}
    body = {"items": [{"sku": "BOWL", "quantity": 1}]}
    placed = as_customer.post(ORDERS, json=body, headers=headers | {"Idempotency-Key": "k"})
    as_customer.ask(placed.headers["Location"], "cancelled", headers)
    assert shop.world.sql("SELECT kind, traceparent FROM outbox ORDER BY kind") == [
        ("orders.confirm", kept),
        ("orders.transition", kept),
    ]


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND_OF_ANSWER)
def test_every_answer_has_the_security_headers(anonymous: Client, method: str, path: str, status: int) -> None:
    headers = anonymous.request(method, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers
    assert not [name for name in headers if name.lower().startswith("access-control-")]
