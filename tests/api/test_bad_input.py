"""Nothing a client can send makes us fail: always a documented 4xx that does not repeat what was sent."""

import json
from typing import Any

import hostile
import httpx2
import pytest
from api_client import ORDERS, PROBLEM_MEMBERS, Client, Shop

from models.identity.permissions import Role

SOME_ID = "0193e5a0-7c1e-7000-8000-000000000000"
ENDPOINTS = [
    ("POST", "/v1/auth/register"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/logout"),
    ("POST", ORDERS),
    ("POST", f"{ORDERS}/{SOME_ID}/transitions"),
    ("PUT", "/v1/products/CUP"),
]
LISTS = [
    ORDERS,
    "/v1/products",
    "/v1/analytics/orders-per-day",
    "/v1/analytics/revenue-by-user",
    "/v1/analytics/status-counts",
]
READS = [*LISTS, "/v1/users/me", f"{ORDERS}/{SOME_ID}", f"{ORDERS}/{SOME_ID}/events", "/v1/products/BOWL"]
DOCUMENTED = {400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422}


def assert_refused(response: httpx2.Response) -> None:
    assert response.status_code in DOCUMENTED, (response.status_code, response.text[:300])
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json().keys() >= PROBLEM_MEMBERS
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert hostile.CANARY not in response.text
    assert len(response.content) < 20_000


def send(
    client: Client, method: str, path: str, body: bytes, content_type: str | None = "application/json"
) -> httpx2.Response:
    headers = {"Idempotency-Key": "k"} | ({} if content_type is None else {"Content-Type": content_type})
    return client.request(
        method,
        path,
        content=body,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    )


@pytest.mark.parametrize("body", hostile.BODIES.values(), ids=hostile.BODIES)
def test_a_hostile_body_is_refused_everywhere(as_admin: Client, body: bytes) -> None:
    for method, path in ENDPOINTS:
        assert_refused(send(as_admin, method, path, body))


@pytest.mark.parametrize("content_type", hostile.CONTENT_TYPES)
def test_only_json_is_read(as_admin: Client, content_type: str | None) -> None:
    for method, path in ENDPOINTS:
        response = send(as_admin, method, path, b"--x\r\n\r\na=1\r\n--x--", content_type)
        assert_refused(response)
        assert response.status_code == 415


FORMS: dict[str, dict[str, Any]] = {
    "/v1/auth/register": {"email": "a@example.com", "password": "a lovely day", "name": "A"},
    "/v1/auth/login": {"email": "a@example.com", "password": "a lovely day"},
    "/v1/auth/refresh": {"refresh_token": "x"},
    ORDERS: {"items": [{"sku": "BOWL", "quantity": 1}], "client_reference": "r", "metadata": {"k": "v"}},
    f"{ORDERS}/{SOME_ID}/transitions": {"to": "cancelled", "reason": "r", "tracking_number": "t"},
    "/v1/products/CUP": {"name": "A", "price_minor": 1, "currency": "EUR", "on_hand": 1, "active": True},
}


def mutations(form: Any) -> list[str]:
    """The form as JSON, with MARK in the place of every value in turn, and in that of a new member."""
    found = []
    for name in form:
        found.append(json.dumps(form | {name: "MARK"}))
        inner = form[name][0] if isinstance(form[name], list) else form[name]
        if isinstance(inner, dict):
            wrap = (lambda each: [each]) if isinstance(form[name], list) else (lambda each: each)
            found += [json.dumps(form | {name: wrap(inner | {each: "MARK"})}) for each in inner]
    return [*found, json.dumps(form | {"surplus": "MARK"})]


@pytest.mark.parametrize("value", hostile.VALUES.values(), ids=hostile.VALUES)
def test_a_hostile_value_in_any_place_fails_nothing(shop: Shop, as_admin: Client, value: str) -> None:
    for method, path in ENDPOINTS:
        for body in mutations(FORMS.get(path, {})):
            response = send(as_admin, method, path, body.replace('"MARK"', value).encode())
            if response.status_code >= 400:  # some values are good in some places
                assert_refused(response)


@pytest.mark.parametrize("query", hostile.QUERIES, ids=lambda query: query[:24])
def test_a_hostile_query_is_refused_everywhere(shop: Shop, as_admin: Client, query: str) -> None:
    for path in READS:
        response = as_admin.get(f"{path}?{query}")
        if not response.is_success:  # `status-counts` has no cursor, `limit=1` is no attack where there is one …
            assert_refused(response)
    assert_refused(as_admin.get(f"/v1/users/me?{query}"))


@pytest.mark.parametrize("value", hostile.HEADERS, ids=range(len(hostile.HEADERS)))
@pytest.mark.parametrize(
    "name", ["Prefer", "If-None-Match", "If-Match", "Accept", "X-Request-ID", "Content-Type", "Cookie"]
)
def test_a_hostile_header_fails_nothing(as_customer: Client, name: str, value: bytes) -> None:
    path = as_customer.order().headers["Location"]
    asked = {"to": "shipped"}
    for response in (
        as_customer.get(path, headers=[(name.encode(), value)]),
        as_customer.post(f"{path}/transitions", json=asked, headers=[(name.encode(), value)]),
    ):
        assert response.status_code < 500
        assert response.is_success or response.status_code == 304 or response.json().keys() >= PROBLEM_MEMBERS


@pytest.mark.parametrize("role", Role)
def test_every_role_gets_an_answer_from_every_path(shop: Shop, role: Role) -> None:
    client = shop.client_as(role)
    for segment in ("%00", "%ff", "%2e%2e", "..;", "%0d%0aX: y", "x" * 4000, hostile.CANARY, "\u202e", "%ed%a0%80"):
        for path in (
            f"/v1/{segment}",
            f"{ORDERS}/{segment}",
            f"/v1/products/{segment}",
            f"{ORDERS}/{SOME_ID}/{segment}",
        ):
            assert_refused(client.get(path))
