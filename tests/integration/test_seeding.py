"""`orders seed --orders`: a past that is believable, the same for the same arguments, and whole wherever it ends."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import psutil
import psycopg
import pytest
from running_system import eventually
from sqlalchemy import text
from typer.testing import CliRunner, Result
from world import World, empty_database

from api.views.orders import order_body
from models import identifiers
from models.lifecycle import BY_ENDS, FINAL, HOLDING, Actor, Policy, Status
from ops import check, cli
from ops.seeding import writing
from ops.seeding.history import SLICES_MIN, History
from runtime import database, settings

ORDERS, DAYS = 800, 200
# So many that somebody who is stopped has something left to do: a slice is an eighth of them.
MANY = 16_000
TABLES = ("users", "products", "orders", "order_items", "order_events", "idempotency_keys")
# What belongs to the run that has written a row, and not to the history.
OF_THE_RUN = {"order_events": ["xid"]}
PATIENCE_SECONDS = 60
TODAY = date.today()  # noqa: DTZ011 - REPORTING_TZ is UTC, and so is the test's


def arguments(*more: str, orders: int = ORDERS, workers: int = 1) -> list[str]:
    return ["seed", "--orders", str(orders), "--days", str(DAYS), "--workers", str(workers), "--json", *more]


def run(*given: str) -> Result:
    return CliRunner().invoke(cli.app, list(given))


def seed(*more: str, orders: int = ORDERS, workers: int = 1) -> dict[str, Any]:
    done = run(*arguments(*more, orders=orders, workers=workers))
    assert done.exit_code == 0, (done.output, done.exception)
    written: dict[str, Any] = json.loads(done.stdout)
    return written


def violations() -> dict[str, tuple[str, ...]]:
    found = check.examined(settings.current())
    return {finding.invariant.name: finding.violators for finding in found if not finding.is_clean}


def contents(world: World) -> Mapping[str, tuple[int, str]]:
    """How many rows each table has, and a digest of all of them."""

    def digest(table: str) -> tuple[int, str]:
        [row] = world.sql(
            f"SELECT count(*), md5(string_agg(digest, '' ORDER BY digest)) FROM (SELECT"
            f" md5((to_jsonb(t) - CAST(:without AS text[]))::text) AS digest FROM {table} AS t) AS digests",
            without=OF_THE_RUN.get(table, []),
        )
        return tuple(row)

    return {table: digest(table) for table in TABLES}


@contextmanager
def seeding(orders: int) -> Iterator[subprocess.Popen[str]]:
    """Somebody else's seeding, with two processes."""
    command = [sys.executable, "-m", "ops", *arguments(orders=orders, workers=2)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


# On hand and reserved, and how many pieces have left the house with orders, and are held by them.
STOCK = """
    SELECT sku, on_hand, reserved, coalesce(sum(quantity) FILTER (WHERE status = ANY(:taken)), 0) AS taken,
        coalesce(sum(quantity) FILTER (WHERE status = ANY(:holding)), 0) AS held
    FROM products LEFT JOIN order_items USING (sku) LEFT JOIN orders ON orders.id = order_id
    GROUP BY sku ORDER BY sku
"""


def stock(world: World) -> list[Any]:
    return world.sql(STOCK, taken=["shipped", "delivered"], holding=sorted(HOLDING))


def orders_there(world: World) -> int:
    return int(world.sql("SELECT count(*) FROM orders")[0][0])


@pytest.fixture
def seeded(world: World) -> World:
    seed()
    return world


def test_every_guarantee_holds_on_a_seeded_system(seeded: World) -> None:
    assert violations() == {}
    assert orders_there(seeded) == ORDERS


def test_the_aggregates_count_every_seeded_order(seeded: World) -> None:
    assert seeded.sql("SELECT sum(orders)::int FROM daily_orders") == [(ORDERS,)]


def test_every_reference_of_a_seeded_row_is_to_a_row_that_is_there(seeded: World) -> None:
    """They were not looked up while the rows were written; each constraint, made anew, looks at all of them."""
    constraints = seeded.sql(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid = ANY(CAST(:tables AS regclass[]))",
        tables=list(TABLES),
    )
    assert len(constraints) == 5
    for table, name, definition in constraints:
        seeded.sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")


def test_the_same_arguments_make_up_the_same_rows_however_many_processes_write_them(seeded: World) -> None:
    once = contents(seeded)
    empty_database()
    assert seed(workers=2)["written"]["orders"] == ORDERS
    assert contents(seeded) == once
    assert violations() == {}


def test_the_same_arguments_once_more_write_nothing(seeded: World) -> None:
    once = contents(seeded)
    assert set(seed()["written"].values()) == {0}
    assert contents(seeded) == once


def test_another_seed_number_makes_up_other_orders_beside_them(seeded: World) -> None:
    seed("--seed", "2")
    assert orders_there(seeded) == 2 * ORDERS
    assert violations() == {}


def test_orders_that_were_there_are_not_touched(world: World) -> None:
    user = world.user()
    world.product("MUG")
    order = world.place(user, {"MUG": 1})
    before = world.order(order.id), world.events(order.id), world.stock("MUG")
    seed()
    assert (world.order(order.id), world.events(order.id), world.stock("MUG")) == before
    assert violations() == {}


def test_every_history_is_legal_by_the_lifecycle_and_in_the_order_of_time(seeded: World) -> None:
    now = datetime.now().astimezone()
    ways: Counter[str] = Counter()
    for order in seeded.orders():
        events = seeded.events(order.id)
        assert [event.version for event in events] == list(range(1, order.version + 1))
        assert [event.at for event in events] == sorted({event.at for event in events})
        assert events[0].at == order.placed_at
        assert events[-1].at == order.updated_at <= now
        for event in events[1:]:
            move = BY_ENDS[Status(event.from_status or ""), Status(event.to_status)]
            assert Actor(event.actor) in move.by
            assert event.reason or not move.reason_required
            assert order.tracking_number or not move.tracking_required
        assert (order.due_at is None) == (order.status in FINAL)
        ways[" ".join(event.to_status for event in events)] += 1
    assert len(ways) >= 5


def test_numbers_and_ids_are_what_acceptance_would_have_given(seeded: World) -> None:
    for order in seeded.orders():
        assert order.number == identifiers.order_number(order.id)
        assert order.id.int >> 80 == int(order.placed_at.timestamp() * 1000)
        assert order.placed_on == order.placed_at.date()


def test_an_answer_that_is_kept_is_spelled_as_the_api_spells_it(seeded: World) -> None:
    kept = seeded.sql("SELECT order_id, body FROM idempotency_keys")
    assert kept
    for order_id, body in kept:
        order = seeded.order(order_id)
        now, then = json.loads(order_body(order)), json.loads(body)
        moved = {"status", "version", "updated_at", "tracking_number"}
        assert {**then, **dict.fromkeys(moved)} == {**now, **dict.fromkeys(moved)}
        assert (then["status"], then["version"]) == ("pending", 1)


def test_a_history_looks_like_that_of_a_shop(world: World) -> None:
    seed(orders=8_000)
    by_weekday = dict(world.sql("SELECT extract(isodow FROM placed_on)::int, count(*) FROM orders GROUP BY 1"))
    assert by_weekday[1] > by_weekday[7] * 1.15, "Mondays are busier than Sundays"
    shares = dict(world.sql("SELECT status, count(*) / 8000.0 FROM orders GROUP BY 1"))
    assert shares["delivered"] > 0.85
    assert 0.03 < shares["cancelled"] < 0.12
    assert shares["shipped"] > 0 and shares["processing"] > 0 and shares["expired"] > 0
    assert world.sql("SELECT count(*) FROM order_events WHERE to_status = 'failed'")[0][0] > 0
    largest = [n for (n,) in world.sql("SELECT count(*) FROM orders GROUP BY user_id ORDER BY 1 DESC")]
    assert largest[0] > 0.02 * 8_000 and len(largest) > 500, "a few customers are large, and many are small"
    sold = [n for (n,) in world.sql("SELECT count(*)::int FROM order_items GROUP BY sku ORDER BY 1 DESC")]
    assert sold[0] > 1.5 * sold[1] > 1.5 * sold[2] > 5 * sold[-1], "products are popular as Zipf has it"
    halves = world.sql(
        "SELECT count(*) FILTER (WHERE placed_on >= :half), count(*) FROM orders",
        half=TODAY - timedelta(days=DAYS // 2),
    )[0]
    assert halves[0] > halves[1] / 2


def test_stock_that_runs_short_comes_in_by_the_lot(world: World) -> None:
    seed(orders=10)
    world.sql("UPDATE products SET on_hand = reserved")
    seed()
    for on_hand, reserved in world.sql("SELECT on_hand, reserved FROM products"):
        assert reserved + writing.LOT <= on_hand < reserved + 2 * writing.LOT
    assert violations() == {}


def test_stock_that_others_change_while_a_slice_is_written_counts_both(world: World) -> None:
    seed(orders=10)
    before = stock(world)
    history = History(400, DAYS, 40, 2, TODAY)

    def write() -> None:
        engine = database.bulk_engine(settings.current())
        with engine.begin() as connection:
            writing.write_customers(connection, history)
            writing.write_slice(connection, history, 0, Policy.of(settings.current()))
        engine.dispose()

    waits = "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
    with ThreadPoolExecutor(1) as threads:
        with database.transaction() as others:
            others.execute(text("UPDATE products SET on_hand = on_hand + 7, reserved = reserved + 3"))
            writing_too = threads.submit(write)
            eventually(lambda: world.sql(waits), "a seeding that waits for the others")
        writing_too.result(PATIENCE_SECONDS)
    for now, then in zip(stock(world), before, strict=True):
        assert now.sku == then.sku
        assert now.reserved == then.reserved + 3 + now.held - then.held
        assert (now.on_hand - then.on_hand - 7 + now.taken - then.taken) % writing.LOT == 0


def test_open_orders_of_a_system_with_autopilot_go_on_from_where_they_stand(seeded: World) -> None:
    assert any(order.status not in FINAL for order in seeded.orders())
    seeded.work_until_idle()
    still_open = [order for order in seeded.orders() if order.status not in FINAL]
    assert all(order.status is Status.FAILED for order in still_open)
    assert violations() == {}


def test_a_killed_seeding_leaves_a_shorter_history_and_is_gone_on_with(world: World) -> None:
    with seeding(MANY) as process:
        eventually(lambda: orders_there(world), "a first slice")
        writers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        eventually(lambda: not any(writer.is_running() for writer in writers), "the end of its writers")
    left = orders_there(world)
    assert 0 < left < MANY
    assert left % (MANY // SLICES_MIN) == 0
    assert violations() == {}
    gone_on = seed("--until", str(TODAY), orders=MANY)  # as whoever does it after midnight has to say
    assert gone_on["written"]["orders"] == MANY - left
    assert orders_there(world) == MANY


def test_ctrl_c_says_how_to_go_on(world: World) -> None:
    with seeding(3 * MANY) as process:
        eventually(lambda: orders_there(world), "a first slice")
        os.kill(process.pid, signal.SIGINT)
        told = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 1
    told = " ".join(told.split())
    assert "orders: stopped after " in told
    assert f"The same command goes on from there: with `--until {TODAY}`, on another day too." in told
    assert orders_there(world) % (3 * MANY // SLICES_MIN) == 0


def test_two_who_write_the_same_history_share_the_work(world: World) -> None:
    with seeding(MANY) as other:
        eventually(lambda: orders_there(world), "a first slice")
        seed(orders=MANY)
        other.wait(PATIENCE_SECONDS)
    assert orders_there(world) == MANY
    assert violations() == {}


def test_a_login_that_may_not_be_trusted_has_every_reference_looked_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain_login")
        connection.execute("CREATE ROLE plain_login LOGIN IN ROLE orders_owner, orders_api, orders_worker")
    monkeypatch.setenv("DATABASE_URL", url.replace("postgresql://postgres@", "postgresql://plain_login@"))
    seed(orders=50)
    monkeypatch.undo()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE plain_login")
    assert orders_there(world) == 50


def test_production_is_not_seeded_unless_that_is_what_you_want(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", secrets.token_hex(32))
    refused = run(*arguments())
    assert refused.exit_code == 1
    assert "--in-production" in str(refused.exception)
    assert (orders_there(world), world.sql("SELECT count(*) FROM products")) == (0, [(0,)])
    seed("--in-production", orders=10)
    assert orders_there(world) == 10


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["seed", "--days", "3"], "--orders"),
        (["seed", "--orders", "5", "--until", "2199-01-01"], "future"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(world: World, given: list[str], told: str) -> None:
    refused = run(*given)
    assert refused.exit_code == 1
    assert told in str(refused.exception)
    assert world.sql("SELECT count(*) FROM products") == [(0,)]


def test_without_arguments_the_catalogue_is_written_as_ever(world: World) -> None:
    assert run("seed").stdout == "24 products and users written\n"
    assert run("seed").stdout == "0 products and users written\n"
    assert orders_there(world) == 0
