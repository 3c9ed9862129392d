"""Many orders in one request."""

from typing import Any

import httpx2
import pytest
from api_client import Client, Shop

BATCH = "/v1/orders/batch"


def item(reference: str, sku: str = "BOWL", **more: Any) -> dict[str, Any]:
    return {"item_reference": reference, "items": [{"sku": sku, "quantity": 1}], **more}


def send(client: Client, key: str, *items: dict[str, Any]) -> httpx2.Response:
    return client.post(BATCH, json={"orders": items}, headers={"Idempotency-Key": key})


def test_every_item_has_its_own_outcome(shop: Shop, as_customer: Client) -> None:
    answer = send(
        as_customer,
        "k",
        item("a", client_reference="once"),
        item("b", sku="NOT-THERE"),
        item("c", client_reference="once"),
        item("d"),
    )
    assert answer.status_code == 207
    outcomes = answer.json()["data"]
    assert [(each["item_reference"], each["status"]) for each in outcomes] == [
        ("a", 201),
        ("b", 422),
        ("c", 409),
        ("d", 201),
    ]
    assert outcomes[1]["problem"]["code"] == "unknown_product"
    assert outcomes[2]["problem"]["code"] == "duplicate_reference"
    assert as_customer.get(outcomes[0]["order"]["links"]["self"]).json()["id"] == outcomes[0]["order"]["id"]
    assert len(shop.world.orders()) == 2


def test_a_retry_gets_the_same_bytes_and_makes_nothing(shop: Shop, as_customer: Client) -> None:
    items = [item(str(number)) for number in range(100)]
    first, second = send(as_customer, "k", *items), send(as_customer, "k", *items)
    assert first.status_code == second.status_code == 207
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(shop.world.orders()) == 100


@pytest.mark.parametrize(
    "others", [[item("a")], [item("a"), item("b"), item("c")], [item("a"), item("x")], [item("b"), item("a")]], ids=len
)
def test_the_key_of_another_batch_is_refused_whole(
    shop: Shop, as_customer: Client, others: list[dict[str, Any]]
) -> None:
    send(as_customer, "k", item("a"), item("b"))
    answer = send(as_customer, "k", *others)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(shop.world.orders()) == 2


def test_a_batch_and_an_order_may_share_a_key(shop: Shop, as_customer: Client) -> None:
    assert as_customer.order(key="k").status_code == 201
    assert send(as_customer, "k", item("a")).status_code == 207
    assert len(shop.world.orders()) == 2


@pytest.mark.parametrize(
    ("items", "pointer"),
    [
        ([], "/orders"),
        ([item(str(number)) for number in range(101)], "/orders"),
        ([item("same"), item("same")], "/orders"),
        ([{"items": [{"sku": "BOWL", "quantity": 1}]}], "/orders/0/item_reference"),
        ([item("a"), item("b", price=1)], "/orders/1/price"),
    ],
)
def test_a_malformed_batch_is_refused_whole_and_not_stored(
    shop: Shop, as_customer: Client, items: list[dict[str, Any]], pointer: str
) -> None:
    answer = send(as_customer, "k", *items)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert send(as_customer, "k", item("good")).status_code == 207
    assert len(shop.world.orders()) == 1


def test_without_a_key_nothing_is_accepted(as_customer: Client) -> None:
    answer = as_customer.post(BATCH, json={"orders": [item("a")]})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
