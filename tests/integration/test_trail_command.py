"""What `orders trail` tells of work that fails or waits, and what it answers where there is nothing to tell."""

import json
from pathlib import Path

import pytest
from log_lines import log_of
from typer.testing import CliRunner
from world import World

from ops import cli
from ops.failures import LocalError

REQUEST, OTHER = "request-of-one", "request-of-another"
WORK = """
from workers.app import app
app.loader.import_default_modules()
app.tasks["orders.confirm"].apply(args=[{ids}], headers={{"request_ids": {requests}}})
"""


def trail(*arguments: str, lines: str = "") -> str:
    done = CliRunner().invoke(cli.app, ["trail", *arguments], input=lines)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_a_failure_is_told_of_the_order_that_failed_and_not_of_its_neighbours(world: World, tmp_path: Path) -> None:
    good, bad = world.product(), world.product()
    one = world.place(world.user(), {bad.sku: 1}, request_id=REQUEST)
    other = world.place(world.user(), {good.sku: 1}, request_id=OTHER)
    world.sql(f"ALTER TABLE products ADD CONSTRAINT locked_up CHECK (sku <> '{bad.sku}' OR reserved = 0)")
    try:
        ids, requests = [row.id for row in world.due()], [REQUEST, OTHER]
        lines = log_of(WORK.format(ids=ids, requests=requests))
    finally:
        world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")
    log = tmp_path / "log"
    log.write_text("".join(f"worker     {json.dumps(line)}\n" for line in lines) + "no json\n{}\n")

    told = trail(str(one.id), "--log", str(log))
    assert f"asked for by {REQUEST}" in told
    assert "batch failed, trying its halves kind=orders.confirm rows=2" in told
    assert "work failed kind=orders.confirm" in told
    assert "waits: orders.confirm after 1 failures IntegrityError" in told
    told = trail(OTHER, "--log", str(log))
    assert f"order {other.id}" in told
    assert "batch failed" in told and "work failed" not in told


def test_wishes_and_dead_letters_are_on_the_way(world: World) -> None:
    order = world.place(world.user(), {world.product().sku: 1}, request_id=REQUEST)
    world.sql(
        "INSERT INTO transition_requests (id, order_id, to_status, actor, state, request_id, reason) VALUES"
        " (gen_random_uuid(), :id, 'cancelled', 'owner', 'pending', :other, 'changed my mind')",
        id=order.id,
        other=OTHER,
    )
    world.sql(
        "INSERT INTO dead_letters (kind, order_id, error, attempts, first_at, last_at)"
        " VALUES ('orders.ship', :id, 'no carrier', 8, now(), now())",
        id=order.id,
    )
    line = {"event": "request", "timestamp": "2026-11-25T10:00:00Z", "process": "api", "request_id": OTHER}
    lines = f"api-1  | {json.dumps(line)}\napi-1  | {json.dumps(line | {'request_id': 'a-third'})}\n"
    found = json.loads(trail(str(order.id), "--log", "-", "--json", lines=lines))
    assert [step["at"] for step in found["steps"]] == sorted(step["at"] for step in found["steps"])
    assert [step["process"] for step in found["steps"]].count("api") == 1
    told = [step["what"] for step in found["steps"]]
    assert "asked for cancelled (changed my mind)" in told
    assert any("orders.ship after 8 failures: no carrier" in each for each in told)


@pytest.mark.parametrize("wanted", ["00000000-0000-7000-8000-000000000000", "request-of-nobody"])
def test_what_is_not_there_is_said_in_a_sentence(world: World, wanted: str) -> None:
    with pytest.raises(LocalError, match="no order has this id"):
        trail(wanted)


def test_a_log_that_is_not_there_is_said_in_a_sentence(world: World, tmp_path: Path) -> None:
    order = world.place(world.user(), {world.product().sku: 1})
    with pytest.raises(LocalError, match="is no file"):
        trail(str(order.id), "--log", str(tmp_path / "nothing"))
