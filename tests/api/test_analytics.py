"""What analysts ask: shapes, windows, freshness, pages. That the numbers are exact is proved where they are made."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem, pages

from models.identity.permissions import Role
from models.lifecycle import Status

PER_DAY = "/v1/analytics/orders-per-day"
BY_USER = "/v1/analytics/revenue-by-user"
COUNTS = "/v1/analytics/status-counts"
TIMES = "/v1/analytics/fulfilment-times"
EVERY = (PER_DAY, BY_USER, COUNTS, TIMES)
TODAY = datetime.now(UTC).date()
TODAY_ONLY = {"from": str(TODAY), "to": str(TODAY)}


def ask(client: Client, path: str, **parameters: Any) -> Any:
    response = client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def confirmed_and_folded(shop: Shop) -> None:
    shop.world.work("orders.confirm")
    shop.world.fold()


def test_a_day_counts_its_orders_and_their_revenue(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    for _ in range(3):
        as_customer.order()
    confirmed_and_folded(shop)
    answer = ask(as_analyst, PER_DAY, **TODAY_ONLY)
    assert answer.keys() == {"as_of", "lag_seconds", "data"}
    day = {"day": str(TODAY), "currency": "EUR", "orders": 3, "revenue_minor": 3000, "is_final": False}
    assert answer["data"] == [day]
    assert answer["as_of"].endswith("Z")
    assert answer["lag_seconds"] >= 0


def test_the_last_thirty_days_are_the_default_and_empty_days_are_zeros(as_analyst: Client) -> None:
    data = ask(as_analyst, PER_DAY)["data"]
    assert [day["day"] for day in data] == [str(TODAY - timedelta(days=ago)) for ago in range(29, -1, -1)]
    assert {(day["currency"], day["orders"], day["revenue_minor"]) for day in data} == {("EUR", 0, 0)}
    assert all(day["is_final"] for day in data[:-1])


def test_every_currency_has_every_day(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    shop.world.product("DOLLAR", currency="USD")
    as_customer.order("DOLLAR")
    as_customer.order()
    confirmed_and_folded(shop)
    window = {"from": str(TODAY - timedelta(days=1)), "to": str(TODAY)}
    currencies = [day["currency"] for day in ask(as_analyst, PER_DAY, **window)["data"]]
    assert currencies == ["EUR", "USD"] * 2
    assert [day["orders"] for day in ask(as_analyst, PER_DAY, currency="USD", **window)["data"]] == [0, 1]
    assert {day["currency"] for day in ask(as_analyst, PER_DAY, currency="JPY")["data"]} == {"JPY"}


def test_an_exact_answer_counts_what_is_not_folded_yet(as_customer: Client, as_analyst: Client) -> None:
    as_customer.order()
    assert ask(as_analyst, PER_DAY, **TODAY_ONLY)["data"][0]["orders"] == 0
    exact = ask(as_analyst, PER_DAY, exact="true", **TODAY_ONLY)
    assert (exact["data"][0]["orders"], exact["lag_seconds"]) == (1, 0)
    assert ask(as_analyst, COUNTS)["data"]["pending"] == 0
    assert ask(as_analyst, COUNTS, exact="true")["data"]["pending"] == 1


def test_days_can_be_had_as_a_table(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    as_customer.order()
    confirmed_and_folded(shop)
    response = as_analyst.get(PER_DAY, params=TODAY_ONLY, headers={"Accept": "text/csv"})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["day", "currency", "orders", "revenue_minor", "is_final"]
    assert rows[1:] == [[str(TODAY), "EUR", "1", "1000", "False"]]


def test_every_status_is_counted(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    as_customer.order()
    confirmed_and_folded(shop)
    counted = ask(as_analyst, COUNTS)
    assert counted.keys() == {"as_of", "lag_seconds", "data", *Status}
    assert {status: counted[status] for status in Status} == counted["data"]
    assert counted["data"] == {status: int(status is Status.CONFIRMED) for status in Status}
    tomorrow = str(TODAY + timedelta(days=1))
    assert sum(ask(as_analyst, COUNTS, **{"from": tomorrow})["data"].values()) == 0
    assert sum(ask(as_analyst, COUNTS, to=str(TODAY))["data"].values()) == 1


def test_users_are_listed_by_revenue_in_pages(shop: Shop, as_analyst: Client) -> None:
    customers = [shop.client_as(Role.CUSTOMER) for _ in range(5)]
    for number, client in enumerate(customers):
        client.order(quantity=max(number, 1))  # the first two are equal
    confirmed_and_folded(shop)
    answer = ask(as_analyst, BY_USER)
    assert answer.keys() == {"as_of", "lag_seconds", "data", "has_more", "next_cursor", "computed"}
    assert [row["revenue_minor"] for row in answer["data"]] == [4000, 3000, 2000, 1000, 1000]
    best = {"user_id": str(customers[-1].user.id), "currency": "EUR", "orders": 1, "revenue_minor": 4000}
    assert answer["data"][0] == best
    for limit in (1, 2, 5):
        assert [row for page in pages(as_analyst, f"{BY_USER}?limit={limit}") for row in page] == answer["data"]


def test_cancelled_orders_are_no_revenue(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    path = as_customer.order().headers["Location"]
    as_customer.ask(path, Status.CANCELLED)
    shop.world.work("orders.transition")
    shop.world.fold()
    assert ask(as_analyst, PER_DAY, **TODAY_ONLY)["data"][0]["revenue_minor"] == 0
    assert sum(row["revenue_minor"] for row in ask(as_analyst, BY_USER)["data"]) == 0


@pytest.mark.parametrize("path", EVERY)
def test_customers_see_no_analytics(
    as_customer: Client, as_staff: Client, as_admin: Client, as_analyst: Client, path: str
) -> None:
    assert_problem(as_customer.get(path), 403, "forbidden")
    for client in (as_staff, as_admin, as_analyst):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize(
    "window",
    [
        {"from": "2026-02-02", "to": "2026-02-01"},
        {"from": "2026-02-30"},
        {"from": "0001-01-01"},
        {"to": "9999-12-31"},
        {"to": "1e400"},
        {"from": ""},
        {"from": "x"},
    ],
    ids=str,
)
def test_a_window_is_two_days_in_sequence(as_analyst: Client, path: str, window: dict[str, str]) -> None:
    assert_problem(as_analyst.get(path, params=window), 422, "invalid_request")


@pytest.mark.parametrize("path", [PER_DAY, BY_USER, TIMES])
def test_a_window_has_at_most_a_leap_year(as_analyst: Client, path: str) -> None:
    assert len(ask(as_analyst, path, **{"from": "2024-01-01", "to": "2024-12-31"})["data"]) in (0, 366)
    too_long = as_analyst.get(path, params={"from": "2024-01-01", "to": "2025-01-01"})
    assert assert_problem(too_long, 422, "invalid_request")["errors"][0]["pointer"] == "from"


@pytest.mark.parametrize("currency", ["eur", "EURO", "ZZZ", "", "%00"])
def test_a_currency_is_one_of_iso_4217(as_analyst: Client, currency: str) -> None:
    for path in (PER_DAY, BY_USER):
        assert_problem(as_analyst.get(path, params={"currency": currency}), 422, "invalid_request")


def test_a_cursor_is_good_for_its_window_only(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    as_customer.order()
    as_staff.order()
    confirmed_and_folded(shop)
    cursor = ask(as_staff, BY_USER, limit=1)["next_cursor"]
    changed = {"from": str(TODAY - timedelta(days=1)), "cursor": cursor}
    assert_problem(as_staff.get(BY_USER, params=changed), 400, "invalid_cursor")
    assert_problem(as_staff.get(BY_USER, params={"cursor": "x"}), 400, "invalid_cursor")
