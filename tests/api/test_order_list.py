"""The list of orders: filters, sorting, and pages that neither skip nor repeat."""

from typing import Any

import pytest
from api_client import ORDERS, Client, Shop, assert_problem, pages

from models.lifecycle import Status


def ids(client: Client, **parameters: Any) -> list[str]:
    response = client.get(ORDERS, params=parameters)
    assert response.status_code == 200, response.text
    return [order["id"] for order in response.json()["data"]]


@pytest.fixture
def placed(shop: Shop, as_customer: Client) -> list[dict[str, Any]]:
    """Five orders of the customer's, the first one first."""
    shop.world.product("CUP")
    return [
        as_customer.order("CUP" if number == 2 else "BOWL", client_reference=f"r{number}").json() for number in range(5)
    ]


def test_the_newest_order_comes_first_unless_asked_otherwise(as_customer: Client, placed: list[dict[str, Any]]) -> None:
    oldest_first = [order["id"] for order in placed]
    assert ids(as_customer) == ids(as_customer, sort="-placed_at") == oldest_first[::-1]
    assert ids(as_customer, sort="placed_at") == oldest_first


def test_a_list_holds_whole_orders(as_customer: Client, placed: list[dict[str, Any]]) -> None:
    listed = as_customer.get(ORDERS).json()
    assert listed == {"data": placed[::-1], "has_more": False, "next_cursor": None}


def test_a_customer_sees_their_own_orders_and_staff_sees_all(
    shop: Shop, as_customer: Client, as_staff: Client, placed: list[dict[str, Any]]
) -> None:
    mine = as_staff.order().json()["id"]
    everything = [mine, *(order["id"] for order in placed[::-1])]
    assert ids(as_staff) == everything
    assert mine not in ids(as_customer)
    assert ids(as_staff, user_id=str(as_customer.user.id)) == everything[1:]
    assert ids(as_customer, user_id=str(as_staff.user.id)) == []


def test_filters_narrow_the_list(shop: Shop, as_customer: Client, placed: list[dict[str, Any]]) -> None:
    names = [order["id"] for order in placed]
    assert ids(as_customer, sku="CUP") == [names[2]]
    assert ids(as_customer, sku="NONE") == []
    assert ids(as_customer, client_reference="r3") == [names[3]]
    since, until = placed[1]["placed_at"], placed[3]["placed_at"]
    assert ids(as_customer, placed_at_min=since, placed_at_max=until, sort="placed_at") == names[1:4]
    assert ids(as_customer, placed_at_min=since, sku="BOWL", sort="placed_at") == [names[1], names[3], names[4]]


def test_the_list_can_be_narrowed_to_statuses(shop: Shop, as_customer: Client, placed: list[dict[str, Any]]) -> None:
    as_customer.ask(placed[0]["links"]["self"], Status.CANCELLED)
    shop.world.work("orders.transition")
    assert ids(as_customer, status="cancelled") == [placed[0]["id"]]
    assert len(ids(as_customer, status="pending")) == 4
    assert len(ids(as_customer, status="pending,cancelled")) == 5
    assert ids(as_customer, status="delivered") == []


def test_the_list_can_be_narrowed_to_what_is_stuck(
    shop: Shop, as_customer: Client, placed: list[dict[str, Any]]
) -> None:
    shop.world.sql("UPDATE orders SET due_at = now() WHERE id = :id", id=placed[0]["id"])
    assert ids(as_customer, stuck="true") == [placed[0]["id"]]
    assert placed[0]["id"] not in ids(as_customer, stuck="false")
    assert len(ids(as_customer, stuck="false")) == 4


@pytest.mark.parametrize("sort", ["placed_at", "-placed_at"])
@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_the_pages_hold_every_order_exactly_once(
    shop: Shop, as_customer: Client, placed: list[dict[str, Any]], sort: str, limit: int
) -> None:
    shop.world.sql("UPDATE orders SET placed_at = '2026-01-01' WHERE id <> :id", id=placed[0]["id"])
    walked = list(pages(as_customer, f"{ORDERS}?sort={sort}&limit={limit}&status=pending"))
    assert all(len(page) == limit for page in walked[:-1])
    whole = [order["id"] for page in walked for order in page]
    assert whole == ids(as_customer, sort=sort)
    assert sorted(whole) == sorted(order["id"] for order in placed)


def test_an_order_placed_meanwhile_moves_no_page(as_customer: Client, placed: list[dict[str, Any]]) -> None:
    walk = pages(as_customer, f"{ORDERS}?limit=2")
    first = next(walk)
    as_customer.order()
    rest = [order for page in walk for order in page]
    assert [order["id"] for order in first + rest] == [order["id"] for order in placed[::-1]]


@pytest.mark.parametrize("limit", ["0", "-1", "101", "x", "", "1.5", "1e2", "99999999999999999999999"])
def test_a_limit_is_1_to_100(as_customer: Client, limit: str) -> None:
    problem = assert_problem(as_customer.get(ORDERS, params={"limit": limit}), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "limit"


@pytest.mark.parametrize(
    "query",
    [
        "status=unknown",
        "status=",
        "status=pending,",
        "placed_at_min=yesterday",
        "placed_at_min=2026-01-01T00:00:00",
        "placed_at_min=0001-01-01T00:00:00%2B23:59",
        "placed_at_max=9999-12-31T23:59:59-23:59",
        "placed_at_max=1e400",
        "user_id=7",
        "stuck=perhaps",
        "sort=total_minor",
        "sku=%00",
        "client_reference=%00",
    ],
)
def test_a_filter_that_cannot_be_understood_is_refused(as_customer: Client, query: str) -> None:
    problem = assert_problem(as_customer.get(f"{ORDERS}?{query}"), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == query.partition("=")[0]


@pytest.mark.parametrize("query", ["page=2", "limit=1&limit=2", "offset=", "=", "Status=pending", "status%00=1", "&x"])
def test_a_parameter_that_is_unknown_or_repeated_is_refused(as_customer: Client, query: str) -> None:
    assert_problem(as_customer.get(f"{ORDERS}?{query}"), 400, "unknown_query_parameter")


@pytest.fixture
def cursor(as_customer: Client, placed: list[dict[str, Any]]) -> str:
    found: str = as_customer.get(f"{ORDERS}?limit=1").json()["next_cursor"]
    return found


def test_a_cursor_is_good_for_another_page_size(as_customer: Client, cursor: str) -> None:
    assert len(ids(as_customer, limit=3, cursor=cursor)) == 3


def test_a_changed_cursor_is_refused(as_customer: Client, cursor: str) -> None:
    middle = len(cursor) // 2
    other = "A" if cursor[middle] != "A" else "B"
    for changed in (cursor[:middle] + other + cursor[middle + 1 :], cursor[:-4], cursor + "AAAA", "x", "é", "=", " "):
        response = as_customer.get(ORDERS, params={"cursor": changed})
        assert_problem(response, 400, "invalid_cursor")


def test_a_cursor_belongs_to_its_caller_and_its_filters(shop: Shop, as_customer: Client, cursor: str) -> None:
    for filters in ({"status": "pending"}, {"sort": "placed_at"}, {"sku": "BOWL"}):
        assert_problem(as_customer.get(ORDERS, params=filters | {"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(shop.client_as(as_customer.user.role).get(ORDERS, params={"cursor": cursor}), 400, "invalid_cursor")
    assert_problem(as_customer.get("/v1/products", params={"cursor": cursor}), 400, "invalid_cursor")


def test_the_link_repeats_the_filters_exactly(as_customer: Client, placed: list[dict[str, Any]]) -> None:
    query = "placed_at_min=2026-01-01T00:00:00%2B01:00&limit=1"
    link = as_customer.get(f"{ORDERS}?{query}").headers["Link"]
    assert link.startswith(f"<{ORDERS}?placed_at_min=2026-01-01T00%3A00%3A00%2B01%3A00&limit=1&cursor=")
    assert link.endswith('>; rel="next"')
