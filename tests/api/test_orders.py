"""Placing an order and fetching it."""

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from api_client import ORDERS, Client, Shop, assert_problem

from models.identifiers import uuid7
from models.lifecycle import Status

MEMBERS = """id number status version currency total_minor items client_reference metadata tracking_number placed_at
    updated_at links""".split()
LINE = ["line", "sku", "name", "quantity", "unit_price_minor", "amount_minor"]


def place(client: Client, body: dict[str, Any]) -> Any:
    return client.post(ORDERS, json=body, headers={"Idempotency-Key": "k"})


def line(sku: str = "BOWL", quantity: object = 1) -> dict[str, object]:
    return {"sku": sku, "quantity": quantity}


def test_an_accepted_order_is_answered_in_full(shop: Shop, as_customer: Client) -> None:
    shop.world.product("CUP", price_minor=250, name="A cup")
    body = {"items": [line("CUP", 4), line()], "client_reference": "cart 7", "metadata": {"gift": "yes"}}
    response = place(as_customer, body)
    order = response.json()
    assert response.status_code == 201
    assert list(order) == MEMBERS
    assert (order["status"], order["version"], order["currency"], order["total_minor"]) == ("pending", 1, "EUR", 2000)
    assert [list(each) for each in order["items"]] == [LINE, LINE]
    assert list(order["items"][0].values()) == [1, "CUP", "A cup", 4, 250, 1000]
    assert (order["client_reference"], order["metadata"], order["tracking_number"]) == ("cart 7", {"gift": "yes"}, None)
    path = f"{ORDERS}/{order['id']}"
    assert order["links"] == {"self": path, "events": f"{path}/events", "stream": f"{path}/stream"}
    assert (response.headers["Location"], response.headers["ETag"]) == (path, '"v1"')


def test_ids_are_uuid7_and_times_are_utc(as_customer: Client) -> None:
    order = as_customer.order().json()
    assert UUID(order["id"]).version == 7
    assert order["placed_at"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(order["placed_at"])
    assert abs(age.total_seconds()) < 60


def test_what_was_accepted_is_what_is_fetched(as_customer: Client) -> None:
    accepted = as_customer.order(metadata={"b": "2", "a": "1"}, client_reference="r")
    fetched = as_customer.get(accepted.headers["Location"])
    assert fetched.json() == accepted.json()
    assert fetched.headers["ETag"] == accepted.headers["ETag"]


def test_a_later_price_does_not_change_an_order(shop: Shop, as_customer: Client) -> None:
    placed = as_customer.order()
    shop.world.product("BOWL", price_minor=1, name="Cheap")
    assert as_customer.get(placed.headers["Location"]).json()["items"] == placed.json()["items"]


@pytest.mark.parametrize("field", ["price_minor", "total_minor", "status", "currency", "user_id", "id", "version"])
def test_a_client_sets_no_price_status_or_owner(as_customer: Client, field: str) -> None:
    problem = assert_problem(place(as_customer, {"items": [line()], field: 1}), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/{field}"
    problem = assert_problem(place(as_customer, {"items": [line() | {field: 1}]}), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == f"/items/0/{field}"


@pytest.mark.parametrize("quantity", [0, -1, 10_001, 1.0, 1.5, "1", True, None, 10**19, [1], {}])
def test_a_quantity_is_a_whole_number_from_1_to_10000(as_customer: Client, quantity: object) -> None:
    problem = assert_problem(place(as_customer, {"items": [line(quantity=quantity)]}), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "/items/0/quantity"


@pytest.mark.parametrize("lines", [0, 101])
def test_an_order_has_1_to_100_lines(shop: Shop, as_customer: Client, lines: int) -> None:
    items = [line(f"SKU{number}") for number in range(lines)]
    problem = assert_problem(place(as_customer, {"items": items}), 422, "invalid_request")
    assert [flaw["pointer"] for flaw in problem["errors"]] == ["/items"]


def test_the_largest_order_there_can_be_is_accepted(shop: Shop, as_customer: Client) -> None:
    for number in range(100):
        shop.world.product(f"SKU{number}", price_minor=1_000_000_000)
    response = place(as_customer, {"items": [line(f"SKU{number}", 10_000) for number in range(100)]})
    assert response.json()["total_minor"] == 100 * 10_000 * 1_000_000_000
    assert as_customer.get(response.headers["Location"]).json() == response.json()


def test_a_sku_stands_on_one_line(as_customer: Client) -> None:
    assert_problem(place(as_customer, {"items": [line(), line()]}), 422, "invalid_request")


def test_an_order_has_one_currency(shop: Shop, as_customer: Client) -> None:
    shop.world.product("DOLLAR", currency="USD")
    assert_problem(place(as_customer, {"items": [line(), line("DOLLAR")]}), 422, "mixed_currencies")


def test_what_is_not_for_sale_cannot_be_ordered(shop: Shop, as_customer: Client) -> None:
    shop.world.product("OLD", active=False)
    problem = assert_problem(place(as_customer, {"items": [line(), line("OLD"), line("NONE")]}), 422, "unknown_product")
    assert [flaw["pointer"] for flaw in problem["errors"]] == ["/items/1/sku", "/items/2/sku"]
    assert shop.world.orders() == []


@pytest.mark.parametrize(
    "metadata",
    [
        {f"k{number}": "" for number in range(21)},
        {"k" * 41: ""},
        {"": ""},
        {"k": "v" * 501},
        {"k": 1},
        {"k": None},
        {"k": {}},
        [],
        "text",
        None,
    ],
)
def test_metadata_are_at_most_20_short_pairs_of_text(as_customer: Client, metadata: object) -> None:
    assert_problem(place(as_customer, {"items": [line()], "metadata": metadata}), 422, "invalid_request")


def test_metadata_may_be_as_large_as_allowed_and_in_any_script(as_customer: Client) -> None:
    metadata = {f"{number:02}" + "ключ" * 9: "😀" * 500 for number in range(20)}
    response = place(as_customer, {"items": [line()], "metadata": metadata, "client_reference": "é" * 255})
    assert response.json()["metadata"] == metadata


@pytest.mark.parametrize("reference", ["", "x" * 256, 7, ["x"], "a\u007fb"])
def test_a_reference_is_1_to_255_characters(as_customer: Client, reference: object) -> None:
    response = place(as_customer, {"items": [line()], "client_reference": reference})
    assert_problem(response, 400 if reference == "a\u007fb" else 422)


def test_an_unchanged_order_is_not_sent_again(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    for seen in ('"v1"', 'W/"v1"', '"v7", "v1"'):
        same = as_customer.get(path, headers={"If-None-Match": seen})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", '"v1"')
    for seen in ('"v2"', '"other"', "garbage", ""):
        assert as_customer.get(path, headers={"If-None-Match": seen}).status_code == 200


def test_a_long_poll_is_answered_when_the_order_moves(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    with shop.working():
        moved = as_customer.get(path, headers={"If-None-Match": '"v1"', "Prefer": "wait=20"})
    assert moved.status_code == 200
    assert moved.json()["version"] > 1


@pytest.mark.parametrize("headers", [{"Prefer": "wait=30"}, {"Prefer": "wait=30", "If-None-Match": '"v9"'}])
def test_who_has_not_seen_the_order_does_not_wait(as_customer: Client, headers: dict[str, str]) -> None:
    path = as_customer.order().headers["Location"]
    began = time.monotonic()
    assert as_customer.get(path, headers=headers).status_code == 200
    assert time.monotonic() - began < 10


def test_a_long_poll_ends_with_the_patience_of_the_caller(as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    began = time.monotonic()
    same = as_customer.get(path, headers={"If-None-Match": '"v1"', "Prefer": "respond-async, wait=1"})
    assert same.status_code == 304
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("suffix", ["", "/events"])
def test_a_foreign_order_is_as_missing_as_a_missing_one(
    shop: Shop, as_customer: Client, as_staff: Client, as_admin: Client, suffix: str
) -> None:
    stranger = shop.client(shop.world.user())
    path = as_customer.order().headers["Location"]
    request_id = {"X-Request-ID": "the-same-one"}
    foreign = stranger.get(path + suffix, headers=request_id)
    missing = stranger.get(f"{ORDERS}/{uuid7()}{suffix}", headers=request_id)
    assert_problem(foreign, 404, "not_found")
    assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)
    assert foreign.headers.keys() == missing.headers.keys()
    for insider in (as_staff, as_admin):
        assert insider.get(path + suffix).status_code == 200


def test_an_analyst_sees_no_orders(as_customer: Client, as_analyst: Client) -> None:
    path = as_customer.order().headers["Location"]
    for closed in (path, f"{path}/events", ORDERS):
        assert_problem(as_analyst.get(closed), 403, "forbidden")


@pytest.mark.parametrize("name", ["1", "x", "null", "{}", "%00", "%ff", "..%2f..", "0" * 32, "0" * 4000])
def test_what_is_no_id_names_no_order(as_customer: Client, name: str) -> None:
    for suffix in ("", "/events", "/transitions/x"):
        assert_problem(as_customer.get(f"{ORDERS}/{name}{suffix}"), 404, "not_found")


def test_the_events_tell_the_whole_story(shop: Shop, as_customer: Client) -> None:
    placed = as_customer.order()
    shop.world.work_until_idle()
    events = as_customer.get(f"{placed.headers['Location']}/events").json()["data"]
    assert [event["to_status"] for event in events] == ["pending", "confirmed", "processing", "shipped", "delivered"]
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]
    assert events[0].keys() == {"version", "from_status", "to_status", "actor", "reason", "request_id", "at"}
    assert (events[0]["actor"], events[0]["request_id"]) == ("owner", placed.headers["X-Request-ID"])
    assert as_customer.get(placed.headers["Location"]).json()["status"] == Status.DELIVERED


def test_accepting_an_order_takes_at_most_seven_statements(shop: Shop, as_customer: Client) -> None:
    with shop.statements() as statements:
        assert as_customer.order(client_reference="r").status_code == 201
    assert len(statements) <= 7, statements
