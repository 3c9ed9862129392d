"""What all analytics have in common: periods, tags, tables, and where the numbers come from."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem
from world import Placed

from models.analytics.standard_windows import StandardWindow
from models.identity.permissions import Role
from models.lifecycle import Status

PER_DAY = "/v1/analytics/orders-per-day"
BY_USER = "/v1/analytics/revenue-by-user"
COUNTS = "/v1/analytics/status-counts"
TIMES = "/v1/analytics/fulfilment-times"
SPEND = "/v1/users/me/spend"
TABLES = (PER_DAY, BY_USER, TIMES, SPEND)
EVERY = (*TABLES, COUNTS)
GROUPED = (PER_DAY, TIMES, SPEND)
TODAY = datetime.now(UTC).date()
# A Wednesday to a Tuesday: two months, three weeks.
DAYS = {"from": "2026-01-28", "to": "2026-02-10"}


def ask(client: Client, path: str, **parameters: Any) -> Any:
    response = client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def place_on(shop: Shop, client: Client, day: date, **times: timedelta) -> Placed:
    """An order that was placed on this day at noon, and delivered so long after."""
    placed = shop.world.place(client.user, {"BOWL": 1})
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    moment = {"id": placed.id, "day": day, "at": noon}
    shop.world.sql("UPDATE orders SET placed_on = :day, placed_at = :at WHERE id = :id", **moment)
    shop.world.sql("UPDATE order_events SET placed_on = :day, at = :at WHERE order_id = :id", **moment)
    shop.world.work_until_idle()
    if "after" in times:
        shop.world.sql(
            "UPDATE order_events SET at = :at WHERE order_id = :id AND to_status = 'delivered'",
            id=placed.id,
            at=noon + times["after"],
        )
    return placed


def test_weeks_and_months_add_up_their_days(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    for day in (date(2026, 1, 28), date(2026, 2, 1), date(2026, 2, 2), date(2026, 2, 10)):
        place_on(shop, as_customer, day)
    shop.world.fold()
    found = {
        group_by: [(row["day"], row["orders"], row["revenue_minor"]) for row in rows]
        for group_by in ("day", "week", "month")
        for rows in [ask(as_analyst, PER_DAY, group_by=group_by, **DAYS)["data"]]
    }
    assert found["week"] == [("2026-01-28", 2, 2000), ("2026-02-02", 1, 1000), ("2026-02-09", 1, 1000)]
    assert found["month"] == [("2026-01-28", 1, 1000), ("2026-02-01", 3, 3000)]
    assert len(found["day"]) == 14
    assert sum(orders for _, orders, _ in found["day"]) == 4
    assert ask(as_customer, SPEND, group_by="week", **DAYS)["data"] == [
        {"day": day, "currency": "EUR", "orders": orders, "spend_minor": spent} for day, orders, spent in found["week"]
    ]


@pytest.mark.parametrize("path", GROUPED)
@pytest.mark.parametrize("group_by", ["year", "", "DAY", "day,week"])
def test_another_grain_is_refused(as_staff: Client, path: str, group_by: str) -> None:
    assert_problem(as_staff.get(path, params={"group_by": group_by}), 422, "invalid_request")


def test_a_period_is_final_when_all_of_its_orders_are(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    place_on(shop, as_customer, date(2026, 1, 29))
    shop.world.fold()
    assert [row["is_final"] for row in ask(as_analyst, PER_DAY, group_by="month", **DAYS)["data"]] == [True, True]
    waiting = shop.world.place(as_customer.user, {"BOWL": 1})
    for table, key in (("orders", "id"), ("order_events", "order_id")):
        shop.world.sql(f"UPDATE {table} SET placed_on = '2026-02-03' WHERE {key} = :id", id=waiting.id)
    shop.world.fold()
    for path in (PER_DAY, TIMES):
        assert [row["is_final"] for row in ask(as_analyst, path, group_by="month", **DAYS)["data"]] == [True, False]
    today = {"from": str(TODAY), "to": str(TODAY)}
    assert not ask(as_analyst, PER_DAY, **today)["data"][0]["is_final"], "today is not over"


@pytest.mark.parametrize("path", EVERY)
def test_who_has_the_numbers_already_is_not_sent_them_again(shop: Shop, as_staff: Client, path: str) -> None:
    first = as_staff.get(path)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    shop.world.fold()
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = as_staff.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), known
    for other in ('"other"', "", "W/", tag[:-2] + '"'):
        assert as_staff.get(path, headers={"If-None-Match": other}).status_code == 200
    as_staff.order()
    shop.world.work_until_idle()
    shop.world.fold()
    changed = as_staff.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.parametrize("path", TABLES)
def test_every_table_has_a_row_for_each_of_its_data(shop: Shop, as_staff: Client, path: str) -> None:
    as_staff.order()
    shop.world.work_until_idle()
    shop.world.fold()
    response = as_staff.get(path, headers={"Accept": "text/csv"})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Vary"] == "Accept"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    data = ask(as_staff, path)["data"]
    assert [list(row) for row in rows] == [list(each) for each in data]
    assert len(rows) == len(data) > 0
    assert response.headers["ETag"] != as_staff.get(path).headers["ETag"], "another form, another tag"
    prefers_json = as_staff.get(path, headers={"Accept": "text/csv;q=0.5, application/json"})
    assert prefers_json.headers["Content-Type"] == "application/json"


def test_a_table_has_pages_too(shop: Shop, as_analyst: Client) -> None:
    for _ in range(3):
        shop.client_as(Role.CUSTOMER).order()
    shop.world.work_until_idle()
    shop.world.fold()
    page = as_analyst.get(f"{BY_USER}?limit=2", headers={"Accept": "text/csv"})
    assert len(page.text.splitlines()) == 3
    following = as_analyst.get(page.links["next"]["url"], headers={"Accept": "text/csv"})
    assert len(following.text.splitlines()) == 2
    assert "Link" not in following.headers


def test_times_are_told_to_within_one_per_cent(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    taken = [timedelta(hours=hours) for hours in range(1, 21)]
    for after in taken:
        place_on(shop, as_customer, date(2026, 2, 2), after=after)
    shop.world.fold()
    days = {row["day"]: row for row in ask(as_analyst, TIMES, **DAYS)["data"]}
    told = days["2026-02-02"]
    assert told["delivered"] == 20
    assert told["median_seconds"] == pytest.approx(10 * 3600, rel=0.011)
    assert told["p95_seconds"] == pytest.approx(19 * 3600, rel=0.011)
    empty = {"day": "2026-02-03", "delivered": 0, "median_seconds": None, "p95_seconds": None, "is_final": True}
    assert days["2026-02-03"] == empty


def test_exact_times_and_spending_hold_what_is_not_folded_yet(
    shop: Shop, as_customer: Client, as_staff: Client
) -> None:
    as_customer.order()
    shop.world.work_until_idle()
    today = {"from": str(TODAY), "to": str(TODAY)}
    for client, path, name in ((as_staff, TIMES, "delivered"), (as_customer, SPEND, "orders")):
        assert ask(client, path, **today)["data"][0][name] == 0
        exact = ask(client, path, exact="true", **today)
        assert (exact["data"][0][name], exact["lag_seconds"]) == (1, 0)


def test_nobody_sees_what_others_spend(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    as_customer.order(quantity=3)
    shop.client_as(Role.CUSTOMER).order(quantity=5)
    shop.world.work("orders.confirm")
    for exact in ("false", "true"):
        if exact == "false":
            shop.world.fold()
        spent = ask(as_customer, SPEND, exact=exact)["data"]
        assert sum(day["spend_minor"] for day in spent) == 3000
        assert sum(day["spend_minor"] for day in ask(as_staff, SPEND, exact=exact)["data"]) == 0
    assert_problem(shop.client_as(Role.ANALYST).get(SPEND), 403, "forbidden")
    assert_problem(shop.client().get(SPEND), 401, "invalid_token")
    assert_problem(as_customer.get(SPEND, params={"user_id": "x"}), 400, "unknown_query_parameter")


def test_a_cancelled_order_is_not_spent(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    as_customer.ask(path, Status.CANCELLED)
    shop.world.work("orders.transition")
    shop.world.fold()
    assert sum(day["orders"] for day in ask(as_customer, SPEND)["data"]) == 0


@pytest.mark.parametrize("window", StandardWindow)
def test_a_standard_window_can_be_named(shop: Shop, as_customer: Client, as_analyst: Client, window: str) -> None:
    as_customer.order()
    shop.world.work("orders.confirm")
    shop.world.fold()
    live = ask(as_analyst, BY_USER, window=window)
    assert (live["computed"], [row["revenue_minor"] for row in live["data"]]) == ("live", [1000])
    shop.world.sql("INSERT INTO outbox (kind) VALUES ('rollups.top-users')")
    shop.world.work_until_idle()
    ahead = ask(as_analyst, BY_USER, window=window)
    assert (ahead["computed"], ahead["data"]) == ("standard_window", live["data"])
    if window == "30d":
        assert ask(as_analyst, BY_USER)["computed"] == "standard_window", "it is what is meant where nothing is said"


def test_a_window_has_a_name_or_days(as_analyst: Client) -> None:
    for given in ({"window": "7d", "from": "2026-01-01"}, {"window": "7d", "to": "2026-01-01"}, {"window": "8d"}):
        problem = assert_problem(as_analyst.get(BY_USER, params=given), 422, "invalid_request")
        assert problem["errors"][0]["pointer"] == "window"


def test_a_calendar_month_is_read_along_its_index(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    place_on(shop, as_customer, date(2026, 2, 3))
    shop.world.fold()
    found = ask(as_analyst, BY_USER, **{"from": "2026-02-01", "to": "2026-02-28"})
    assert (found["computed"], [row["orders"] for row in found["data"]]) == ("calendar_month", [1])
