"""`orders trail` missed requests that are named by a UUID, and ended over lines of others (review, 25 November 2026).

Clients choose `X-Request-ID`, and many choose a UUID: whatever looked like one was taken for an order's id. And a log
that others write to as well may name the request in lines whose time has no zone, or whose ids are no texts: sorting
and looking them up ended in a TypeError.
"""

import json
from uuid import uuid4

from typer.testing import CliRunner
from world import World

from ops import cli


def trail(*arguments: str, log: str = "") -> str:
    done = CliRunner().invoke(cli.app, ["trail", *arguments], input=log, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_request_may_be_named_by_a_uuid(world: World) -> None:
    request_id = str(uuid4())
    order = world.place(world.user(), {world.product().sku: 1}, request_id=request_id)
    assert trail(request_id).splitlines()[:2] == [f"order {order.id}", f"asked for by {request_id}"]
    assert trail(str(order.id)).splitlines()[0] == f"order {order.id}"


def test_where_a_request_is_named_like_an_order_the_order_is_told(world: World) -> None:
    order = world.place(world.user(), {world.product().sku: 1})
    world.place(world.user(), {world.product().sku: 1}, request_id=str(order.id))
    assert trail(str(order.id)).splitlines()[0] == f"order {order.id}"


def test_lines_that_are_not_like_ours_are_left_out(world: World) -> None:
    order = world.place(world.user(), {world.product().sku: 1}, request_id="request-of-one")
    ours = {"event": "ours", "timestamp": "2026-11-25T10:00:00Z", "process": "api", "request_id": "request-of-one"}
    without_zone = ours | {"event": "theirs", "timestamp": "2026-11-25T10:00:00"}
    no_text = ours | {"event": "theirs", "request_id": ["request-of-one"]}
    no_texts = ours | {"event": "theirs", "request_id": None, "request_ids": [["request-of-one"]]}
    log = "".join(json.dumps(line) + "\n" for line in (without_zone, no_text, no_texts, ours))
    told = trail(str(order.id), "--log", "-", log=log)
    assert "ours" in told and "theirs" not in told
