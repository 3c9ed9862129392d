"""The whole list as a stream: complete or visibly cut off, and never more of it in memory than a page."""

import csv
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from api_client import ORDERS, Client, Shop, assert_problem, pages

from api.answers import exports, media_types
from models.identity.users import User
from runtime import settings, shutdown

NDJSON, CSV = {"Accept": "application/x-ndjson"}, {"Accept": "text/csv"}
SEVERAL_PAGES = 2 * exports.ORDERS_PER_PAGE + 1
# More than the buffers between a server and a client that does not read take up.
BULKY = {f"name-{number}": "x" * 500 for number in range(20)}


def fill(shop: Shop, user: User, orders: int, **values: Any) -> None:
    shop.world.accept(*(shop.world.request(user, {"BOWL": 1}, **values) for _ in range(orders)))


@pytest.fixture
def bulky(shop: Shop, as_customer: Client) -> None:
    for _ in range(25):
        fill(shop, as_customer.user, exports.ORDERS_PER_PAGE, metadata=BULKY)


@pytest.fixture
def opened(as_customer: Client, bulky: None) -> Iterator[tuple[httpx2.Response, Iterator[bytes]]]:
    """An export of which something was read."""
    with as_customer.stream("GET", ORDERS, headers=NDJSON) as response:
        chunks = response.iter_raw()
        next(chunks)
        yield response, chunks


@pytest.mark.parametrize("sort", ["placed_at", "-placed_at"])
def test_an_export_holds_what_all_pages_hold(shop: Shop, as_customer: Client, sort: str) -> None:
    fill(shop, as_customer.user, SEVERAL_PAGES)
    shop.client(shop.world.user()).order()
    response = as_customer.get(ORDERS, params={"sort": sort}, headers=NDJSON)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    exported = [json.loads(line) for line in response.text.splitlines()]
    assert len(exported) == SEVERAL_PAGES
    assert exported == [order for page in pages(as_customer, f"{ORDERS}?sort={sort}&limit=100") for order in page]


@pytest.mark.parametrize("orders", [0, 1, exports.ORDERS_PER_PAGE])
def test_a_sheet_has_a_header_and_a_row_for_each_order(shop: Shop, as_customer: Client, orders: int) -> None:
    fill(shop, as_customer.user, orders)
    response = as_customer.get(ORDERS, headers=CSV)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    header, *rows = csv.reader(io.StringIO(response.text))
    assert tuple(header) == exports.COLUMNS
    assert len(rows) == orders


def test_no_cell_is_a_formula(as_customer: Client) -> None:
    order = as_customer.order(client_reference="=1+1").json()
    [row] = csv.DictReader(io.StringIO(as_customer.get(ORDERS, headers=CSV).text))
    assert row["client_reference"] == "'=1+1"
    same = ("id", "number", "status", "currency", "placed_at", "updated_at")
    assert [row[name] for name in same] == [order[name] for name in same]
    assert (row["total_minor"], row["lines"], row["tracking_number"]) == (str(order["total_minor"]), "1", "")


def test_an_export_is_filtered_and_goes_on_from_a_cursor(shop: Shop, as_customer: Client) -> None:
    shop.world.product("CUP")
    fill(shop, as_customer.user, 3)
    assert as_customer.order("CUP", key="its own").status_code == 201
    assert len(as_customer.get(f"{ORDERS}?sku=CUP", headers=NDJSON).text.splitlines()) == 1
    cursor = as_customer.get(f"{ORDERS}?limit=1").json()["next_cursor"]
    assert len(as_customer.get(f"{ORDERS}?cursor={cursor}", headers=NDJSON).text.splitlines()) == 3


@pytest.mark.parametrize("headers", [NDJSON, CSV])
def test_an_export_is_refused_before_it_begins(as_customer: Client, anonymous: Client, headers: dict[str, str]) -> None:
    assert_problem(anonymous.get(ORDERS, headers=headers), 401, "invalid_token")
    assert_problem(as_customer.get(f"{ORDERS}?cursor=x", headers=headers), 400, "invalid_cursor")
    assert_problem(as_customer.get(f"{ORDERS}?status=x", headers=headers), 422, "invalid_request")
    problem = assert_problem(as_customer.get(f"{ORDERS}?limit=5", headers=headers), 422, "invalid_request")
    assert problem["errors"][0]["pointer"] == "limit"


def test_a_database_that_cannot_be_asked_is_a_problem_document(shop: Shop, as_customer: Client) -> None:
    with psycopg.connect(settings.current().database_url.get_secret_value()) as meddler:
        meddler.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        assert_problem(as_customer.get(ORDERS, headers=NDJSON), 503, "unavailable")


def settled(statements: list[str]) -> int:
    """How many statements there are when no more come."""
    seen = -1
    while seen != len(statements):
        seen = len(statements)
        time.sleep(0.3)
    return seen


def test_no_more_is_read_than_the_client_takes_and_nothing_once_it_has_gone(
    shop: Shop, as_customer: Client, bulky: None
) -> None:
    with shop.statements() as statements:
        as_customer.get(ORDERS, headers=NDJSON)
        whole = settled(statements)
        with as_customer.stream("GET", ORDERS, headers=NDJSON) as response:
            next(response.iter_raw())
            waiting = settled(statements) - whole
            assert waiting < whole
        assert settled(statements) - whole == waiting


def test_an_export_whose_database_fails_midway_is_cut_off(opened: tuple[httpx2.Response, Iterator[bytes]]) -> None:
    _, chunks = opened
    with psycopg.connect(settings.current().database_url.get_secret_value()) as meddler:
        # Longer than a statement waits. (A connection that has died would not do: another takes its place.)
        meddler.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(httpx2.RemoteProtocolError):
            list(chunks)


def test_an_export_is_cut_off_when_the_process_is_asked_to_stop(
    opened: tuple[httpx2.Response, Iterator[bytes]],
) -> None:
    _, chunks = opened
    shutdown.begin()
    try:
        with pytest.raises(httpx2.RemoteProtocolError):
            list(chunks)
    finally:
        shutdown.forget()


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", media_types.JSON),
        ("*/*", media_types.JSON),
        ("application/json", media_types.JSON),
        ("text/html, nonsense;;q=, */*;q=0.1", media_types.JSON),
        ("text/csv", media_types.CSV),
        ("Text/CSV; q=0.5", media_types.CSV),
        ("text/csv;q=0", media_types.JSON),
        ("text/csv;q=x", media_types.JSON),
        ("text/csv;q=nan", media_types.JSON),
        ("text/csv, */*", media_types.CSV),
        ("text/csv;q=0.5, */*", media_types.JSON),
        ("application/json, text/csv", media_types.JSON),
        ("application/json;q=0.5, text/csv", media_types.CSV),
        ("application/x-ndjson, text/csv;q=0.9", media_types.NDJSON),
        ("text/csv, application/x-ndjson;q=0.9", media_types.CSV),
    ],
)
def test_the_media_type_is_negotiated(accept: str, answer: str) -> None:
    assert media_types.wanted(accept) == answer
