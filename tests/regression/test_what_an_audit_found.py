"""What somebody found who tested the contract of orders from outside, knowing only the design.

Small things, each of them a sentence of the contract that did not hold; the larger ones have files of their own.
"""

import json
import socket
import time
from collections.abc import Mapping

import pytest
from api_client import ORDERS, Client, Shop, assert_problem
from sqlalchemy import text
from world import World

from models import advance
from models.advance import Step
from models.lifecycle import Status
from runtime import database

KEY = {"Idempotency-Key": "k"}
JSON = "application/json"


def raw(shop: Shop, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer to what no library would send."""
    with socket.create_connection(shop.server.address, timeout=5) as connection:
        connection.sendall(request)
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    return int(status_line.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize("broken", [b"FOO / HTTP/1.1", b"GET / HTTP/1.1\r\nA: \x01", b"GET /\xff HTTP/1.1"])
def test_what_is_no_http_is_refused_like_everything_else(shop: Shop, broken: bytes) -> None:
    """It was a line of plain text by uvicorn, without a request id and without security headers."""
    status, headers, body = raw(shop, broken + b"\r\n\r\n")
    problem = json.loads(body)
    assert (status, problem["code"], headers["content-type"]) == (400, "unreadable_request", "application/problem+json")
    assert problem["request_id"].lower() == headers["x-request-id"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("length", [b"65537", b"9000000000000000000"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_comes_and_before_the_token(
    shop: Shop, length: bytes
) -> None:
    """It was waited for, and then the refusal was 401 (S26)."""
    head = b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + length
    status, _, body = raw(shop, head + b"\r\n\r\n")
    assert (status, json.loads(body)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", f"{JSON}; charset=utf-16")],
        [("Content-Type", f"{JSON};charset=latin1")],
        [("Content-Type", JSON), ("Content-Encoding", "gzip")],
        [("Content-Type", JSON), ("Content-Type", JSON)],
    ],
)
def test_a_body_that_is_declared_as_something_else_is_not_read(
    as_customer: Client, headers: list[tuple[str, str]]
) -> None:
    """Each of them was read as plain JSON in UTF-8."""
    body = json.dumps({"items": [{"sku": "BOWL", "quantity": 1}]})
    assert_problem(as_customer.post(ORDERS, content=body, headers=[*headers, *KEY.items()]), 415)
    plain = {"Content-Type": f'{JSON}; charset="UTF-8"'}
    assert as_customer.post(ORDERS, content=body, headers=plain | KEY).status_code == 201


@pytest.mark.parametrize("character", ["\x85", "\x9b", "\x7f"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_control_character_comes_through_escaped_or_not(
    as_customer: Client, character: str, ascii_only: bool
) -> None:
    """Those from U+0080 on did, and one of them ends a line."""
    body = {"items": [{"sku": "BOWL", "quantity": 1}], "metadata": {"note": f"a{character}b"}}
    content = json.dumps(body, ensure_ascii=ascii_only).encode()
    response = as_customer.post(ORDERS, content=content, headers=KEY | {"Content-Type": JSON})
    assert_problem(response, 400, "malformed_json")


def test_an_exported_order_is_one_line_to_every_reader(as_customer: Client) -> None:
    """A line separator in somebody's metadata ended the line for readers that know more than one end of a line."""
    as_customer.order(metadata={"note": "a\u2028b\u2029c"})
    [line] = as_customer.get(ORDERS, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert json.loads(line)["metadata"] == {"note": "a\u2028b\u2029c"}


def test_what_is_there_twice_is_pointed_at(as_customer: Client) -> None:
    """The pointer was empty: somewhere in the body."""
    item = {"sku": "BOWL", "quantity": 1}
    twice = as_customer.post(ORDERS, json={"items": [item, item]}, headers=KEY)
    assert [flaw["pointer"] for flaw in assert_problem(twice, 422)["errors"]] == ["/items"]
    orders = {"orders": [{"item_reference": "a", "items": [item]}, {"item_reference": "a", "items": [item, item]}]}
    batch = as_customer.post(f"{ORDERS}/batch", json=orders, headers=KEY)
    assert [flaw["pointer"] for flaw in assert_problem(batch, 422)["errors"]] == ["/orders/1/items"]
    orders["orders"][1]["items"] = [item]
    batch = as_customer.post(f"{ORDERS}/batch", json=orders, headers=KEY)
    assert [flaw["pointer"] for flaw in assert_problem(batch, 422)["errors"]] == ["/orders"]


def test_what_a_move_needs_is_pointed_at(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    """The refusal said in words what was missing, and not where."""
    order = as_customer.order().headers["Location"]
    shop.world.work("orders.confirm")
    shop.world.work("orders.process")
    for to, pointer in (("shipped", "/tracking_number"), ("cancelled", "/reason")):
        flaws = assert_problem(as_staff.ask(order, to), 422)["errors"]
        assert [flaw["pointer"] for flaw in flaws] == [pointer]


def test_nobody_waits_for_a_final_order_to_change(shop: Shop, as_customer: Client) -> None:
    """They waited as long as they had said they would."""
    order = as_customer.order().headers["Location"]
    shop.world.work_until_idle()
    tag = as_customer.get(order).headers["ETag"]
    began = time.monotonic()
    answer = as_customer.get(order, headers={"If-None-Match": tag, "Prefer": "wait=30"})
    assert (answer.status_code, time.monotonic() - began < 15) == (304, True)


def test_a_later_version_has_a_later_time(world: World) -> None:
    """An event bore the time at which its transaction began, which was before it waited for the one before it."""
    bowl = world.product()
    placed = world.place(world.user(), {bowl.sku: 1})
    with database.transaction() as late:
        late.execute(text("SELECT now()"))
        world.move(Step(placed.id, 1, Status.PENDING, Status.CONFIRMED))
        advance.advance(late, [Step(placed.id, 2, Status.CONFIRMED, Status.PROCESSING)], world.policy)
    times = [event.at for event in world.events(placed.id)]
    assert times == sorted(times)
    assert world.order(placed.id).updated_at == times[-1]
