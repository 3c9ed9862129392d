"""Aggregates that cannot be trusted are noticed and recounted, at one stroke, while orders come in."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from at_work import at_work
from log_lines import log_of_task
from recounts import RECOUNTS, drifted, rows
from sqlalchemy import text
from typer.testing import CliRunner
from world import World

from models.analytics import daily_figures, rebuild
from models.analytics.windows import Window
from models.invariants import in_one_snapshot
from ops import cli
from ops.rollups import each_in_a_transaction
from runtime import database
from runtime.database import Role

# What makes a database a stranger to its rollups: ids of a cluster that was further than this one, or not as far.
FOREIGN = {
    "a watermark from the future": "UPDATE rollup_state SET upto = '9000000000', sealed_upto = '9000000000'",
    "another cluster": "UPDATE rollup_state SET cluster = cluster + 1",
    "a hand on the watermark": "UPDATE rollup_state SET upto = '3'",
    "events from the future": "UPDATE order_events SET xid = '9000000000'",
    "code that knows fewer aggregates": "UPDATE rollup_state SET sealed_upto = NULL, cluster = NULL",
}


def some_orders(world: World, number: int = 2) -> None:
    world.product("BOWL")
    for _ in range(number):
        world.place(world.user(), {"BOWL": 1})
    world.work_until_idle()
    world.fold()
    world.place(world.user(), {"BOWL": 1})


def spoil(world: World) -> None:
    for table in RECOUNTS:
        world.sql(f"UPDATE {table} SET orders = orders * 1000")


def tick(world: World, kind: str) -> None:
    """What the timetable asks for, done by a worker."""
    world.sql("INSERT INTO outbox (kind) VALUES (:kind)", kind=kind)
    assert world.work(kind) == 1


@pytest.mark.parametrize("how", FOREIGN)
def test_a_restored_dump_is_noticed_and_nothing_folded_or_audited_before_it_is_rebuilt(world: World, how: str) -> None:
    some_orders(world)
    spoil(world)
    world.sql(FOREIGN[how])
    before = [rows(world, kept) for kept, _ in RECOUNTS.values()]
    tick(world, "rollups.audit")
    assert "run `orders rollups rebuild`" in str(CliRunner().invoke(cli.app, ["rollups", "audit"]).exception)
    for _ in range(2):
        tick(world, "rollups.fold")
    assert [rows(world, kept) for kept, _ in RECOUNTS.values()] == before
    assert world.work("rollups.rebuild") == 1, "asked for once"
    world.place(world.user(), {"BOWL": 1})
    world.fold()
    assert drifted(world) == []


def test_that_a_watermark_is_not_ours_is_told(world: World) -> None:
    world.sql("UPDATE rollup_state SET cluster = cluster + 1")
    [line] = log_of_task("rollups.fold")
    assert line["event"] == "the rollups' watermark is not ours, and everything is recounted"
    assert line["level"] == "error"


def test_as_of_is_never_in_the_future_of_what_was_rebuilt(world: World) -> None:
    some_orders(world)
    world.sql("UPDATE rollup_state SET cluster = 1, horizon = '9000000000', horizon_at = now() + interval '1 day'")
    world.sql("UPDATE rollup_state SET as_of = now() + interval '1 day'")
    world.work()
    CliRunner().invoke(cli.app, ["rollups", "rebuild"])
    world.fold()
    assert world.sql("SELECT as_of <= now() AND as_of > now() - interval '1 minute' FROM rollup_state") == [(True,)]


def test_the_command_rebuilds_and_says_what_was_wrong(world: World) -> None:
    some_orders(world)
    world.fold()
    done = CliRunner().invoke(cli.app, ["rollups", "rebuild", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"corrected": dict.fromkeys(RECOUNTS, 0)})
    spoil(world)
    corrected = json.loads(CliRunner().invoke(cli.app, ["rollups", "rebuild", "--json"]).stdout)["corrected"]
    assert all(corrected.values()), corrected
    world.fold()
    assert drifted(world) == []
    assert "daily_orders: 0 rows corrected" in CliRunner().invoke(cli.app, ["rollups", "rebuild"]).stdout


def test_bites_lose_and_repeat_nothing(world: World) -> None:
    some_orders(world, 9)
    spoil(world)
    with database.connect() as connection:
        bites = list(rebuild.rebuild(each_in_a_transaction(connection), orders_per_bite=4))
    assert [each.counted for each in bites] == [0, 4, 8, 10]
    world.fold()
    assert drifted(world) == []


def test_readers_never_see_half_of_a_rebuild_and_orders_come_in_meanwhile(world: World) -> None:
    some_orders(world)
    over, seen = Event(), set()

    def count() -> None:
        """An exact answer, and a recount in its snapshot."""
        while not over.is_set():
            with in_one_snapshot(database.connect(Role.API)) as connection, connection.begin():
                _, counted = daily_figures.status_counts(connection, Window(None, None), exact=True)
                placed = connection.execute(text("SELECT status, count(*) FROM orders GROUP BY status"))
                recounted = {row[0]: row[1] for row in placed}
            seen.add({status: orders for status, orders in counted.items() if orders} == recounted)

    with ThreadPoolExecutor(1) as reader, at_work(world):
        reading = reader.submit(count)
        for _ in range(3):
            with database.connect() as connection:
                for _ in rebuild.rebuild(each_in_a_transaction(connection), orders_per_bite=5):
                    pass
        over.set()
        reading.result()
    assert seen == {True}
    world.work_until_idle()
    world.fold()
    assert drifted(world) == []
