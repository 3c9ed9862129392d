"""The catalogue."""

import pytest
from api_client import Client, Shop, assert_problem, pages

CUP = {"name": "A cup", "price_minor": 250, "currency": "EUR", "on_hand": 10, "active": True}
SHOWN = {"sku": "CUP", "name": "A cup", "price_minor": 250, "currency": "EUR", "available": 10, "active": True}


def test_staff_creates_and_replaces_a_product(as_staff: Client, as_customer: Client) -> None:
    created = as_staff.put("/v1/products/CUP", json=CUP)
    assert (created.status_code, created.json()) == (201, SHOWN)
    replaced = as_staff.put("/v1/products/CUP", json={**CUP, "active": False})
    assert (replaced.status_code, replaced.json()) == (200, {**SHOWN, "active": False})
    assert as_customer.get("/v1/products/CUP").json() == {**SHOWN, "active": False}


def test_the_catalogue_is_read_in_pages_in_sku_order(shop: Shop, as_analyst: Client) -> None:
    for sku in ("b", "A", "a.1", "Z-9"):
        shop.world.product(sku)
    walked = list(pages(as_analyst, "/v1/products?limit=2"))
    assert [[product["sku"] for product in page] for page in walked] == [["A", "BOWL"], ["Z-9", "a.1"], ["b"]]


def test_what_is_promised_is_not_available(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    as_staff.put("/v1/products/CUP", json=CUP)
    as_customer.order("CUP", 4)
    shop.world.work("orders.confirm")
    assert as_customer.get("/v1/products/CUP").json()["available"] == 6
    assert_problem(as_staff.put("/v1/products/CUP", json={**CUP, "on_hand": 3}), 409, "conflict")
    assert as_staff.put("/v1/products/CUP", json={**CUP, "on_hand": 4}).json()["available"] == 0


@pytest.mark.parametrize("sku", ["NONE", "%00", "a%0A", "x" * 65, "%20", "-"])
def test_an_unknown_product_is_missing(as_customer: Client, sku: str) -> None:
    assert_problem(as_customer.get(f"/v1/products/{sku}"), 404, "not_found")


@pytest.mark.parametrize("sku", ["%00", "x" * 65, "%20", "-", "a%0A", "é"])
def test_a_product_has_a_decent_sku(as_staff: Client, sku: str) -> None:
    assert_problem(as_staff.put(f"/v1/products/{sku}", json=CUP), 422, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("price_minor", -1),
        ("price_minor", 1_000_000_001),
        ("price_minor", 1.0),
        ("price_minor", True),
        ("currency", "EURO"),
        ("currency", "eur"),
        ("currency", "ZZZ"),
        ("on_hand", -1),
        ("on_hand", 1_000_000_001),
        ("on_hand", "7"),
        ("active", 1),
        ("active", None),
        ("reserved", 0),
        ("sku", "CUP"),
    ],
)
def test_a_field_out_of_bounds_is_refused_in_its_place(as_staff: Client, field: str, value: object) -> None:
    problem = assert_problem(as_staff.put("/v1/products/CUP", json={**CUP, field: value}), 422, "invalid_request")
    assert [flaw["pointer"] for flaw in problem["errors"]] == [f"/{field}"]


def test_only_staff_and_admins_write_products(as_customer: Client, as_analyst: Client, as_admin: Client) -> None:
    for client in (as_customer, as_analyst):
        assert_problem(client.put("/v1/products/CUP", json=CUP), 403, "forbidden")
    assert as_admin.put("/v1/products/CUP", json=CUP).status_code == 201
