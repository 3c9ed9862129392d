"""`orders check`: each invariant finds the violation it is there for, and nothing in a system that is well."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from at_work import at_work
from typer.testing import CliRunner
from world import World, empty_database

from models import transition_requests
from models.advance import Step
from models.invariants import INVARIANTS
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from ops import check, cli
from runtime import database, settings
from runtime.database import Role


@dataclass(frozen=True)
class Planted:
    """How to break one invariant, and `also` what follows. `without`: the constraint that would not allow it."""

    name: str
    statement: str
    violator: str = "{order}"
    without: tuple[str, str] | None = None
    also: tuple[str, ...] = ()


# {order} went the whole way; {waiting} is pending, with its work in the outbox; {failed} has failed; {late} was placed
# and cancelled after the last fold.
PLANTED = (
    Planted("order-lines", "UPDATE order_items SET line = 3 WHERE order_id = '{order}' AND line = 2"),
    Planted("order-totals", "UPDATE order_items SET unit_price_minor = 999 WHERE order_id = '{order}' AND line = 1"),
    Planted(
        "keys-name-orders",
        "UPDATE idempotency_keys SET body = convert_to('{{\"id\":\"another\"}}', 'UTF8') WHERE order_id = '{order}'",
        "{user} {key}",
    ),
    Planted("orders-have-keys", "DELETE FROM idempotency_keys WHERE order_id = '{order}'"),
    Planted(
        "events-gap-free",
        "UPDATE order_events SET version = 6 WHERE order_id = '{order}' AND version = 5;"
        " UPDATE orders SET version = 6 WHERE id = '{order}'",
    ),
    Planted(
        "events-contiguous",
        "UPDATE order_events SET from_status = 'confirmed' WHERE order_id = '{late}' AND version = 2",
        "{late} v2",
    ),
    Planted(
        "events-legal",
        "UPDATE order_events SET to_status = 'delivered' WHERE order_id = '{late}' AND version = 2;"
        " UPDATE orders SET status = 'delivered' WHERE id = '{late}'",
        "{late} v2",
    ),
    Planted("status-is-last-event", "UPDATE orders SET version = 4 WHERE id = '{order}'"),
    Planted(
        "status-is-last-event",
        "INSERT INTO order_events (order_id, version, from_status, to_status, actor, amount_minor, currency, user_id,"
        " placed_on) SELECT order_id, 2, 'pending', 'cancelled', 'owner', amount_minor, currency, user_id, placed_on"
        " FROM order_events WHERE order_id = '{waiting}'",
        "{waiting}",
    ),
    Planted(
        "events-carry-their-order",
        "UPDATE order_events SET placed_on = placed_on - 1 WHERE order_id = '{late}' AND version = 2",
        "{late} v2",
    ),
    Planted("legal-moves", "DELETE FROM legal_moves WHERE to_status = 'expired'", "pending → expired"),
    Planted(
        "stock-reserved", "UPDATE products SET reserved = 4 WHERE sku = 'BOWL'", "BOWL: reserved 4, held 3, on hand 99"
    ),
    Planted(
        "stock-reserved",
        "UPDATE products SET on_hand = 2",
        "BOWL: reserved 3, held 3, on hand 2",
        without=("products", "ck_products_reserved_within_on_hand"),
    ),
    Planted(
        "outbox-names-orders",
        "UPDATE outbox SET expected_version = 2 WHERE order_id = '{waiting}';"
        " INSERT INTO outbox (kind, order_id, expected_version) VALUES ('orders.confirm', '{waiting}', 1)",
        "outbox {row}",
    ),
    Planted(
        "outbox-names-orders",
        "INSERT INTO outbox (kind, order_id, expected_version) VALUES ('orders.confirm', gen_random_uuid(), 1)",
        "outbox ",
    ),
    Planted(
        "outbox-in-time", "UPDATE outbox SET available_at = now() - interval '6 minutes'", "outbox {row} orders.confirm"
    ),
    Planted("orders-have-their-work", "DELETE FROM outbox WHERE kind = 'orders.confirm'", "{waiting} pending"),
    Planted("requests-have-their-work", "DELETE FROM outbox WHERE kind = 'orders.transition'", "{asked} of {waiting}"),
    Planted("failures-explained", "UPDATE order_events SET reason = NULL WHERE order_id = '{failed}'", "{failed}"),
    Planted(
        "watermark",
        "UPDATE rollup_state SET upto = '9000000000'",
        "rollup orders upto 9000000000",
        also=("daily-orders",),  # what was not folded yet counts as folded then
    ),
    Planted(
        "watermark",
        "UPDATE order_events SET xid = '9000000000' WHERE order_id = '{late}' AND version = 1",
        "{late} v1",
    ),
    Planted(
        "daily-orders",
        "UPDATE daily_orders SET orders = orders + 1 WHERE status = 'delivered'",
        "delivered: 2 of",
    ),
    Planted("daily-orders", "DELETE FROM daily_orders WHERE status = 'failed'", "failed: 0 of 0 kept, 1 of"),
    Planted("daily-user-revenue", "UPDATE daily_user_revenue SET revenue_minor = revenue_minor - 1", "{user}"),
    Planted("monthly-user-revenue", "DELETE FROM monthly_user_revenue", "{user}"),
    Planted("daily-fulfilment", "UPDATE daily_fulfilment SET bucket = bucket + 1", "1 kept, 0 counted"),
    Planted("watermark", "UPDATE rollup_state SET cluster = 1", "rollup orders upto "),
    Planted("watermark", "UPDATE rollup_state SET sealed_upto = '3'", "rollup orders upto "),
)


def examine(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli.app, ["check", "--json", *arguments])
    return done.exit_code, json.loads(done.stdout)


def violated(report: dict[str, Any]) -> dict[str, list[str]]:
    return {each["name"]: each["violators"] for each in report["invariants"] if not each["clean"]}


@pytest.fixture
def names(world: World) -> dict[str, object]:
    """A shop in which orders stand at every point of their way, and what they are called."""
    user, clerk = world.user(), world.user()
    world.product("BOWL", on_hand=100)
    cup = world.product("CUP", on_hand=0)
    world.product("MUG")
    order = world.place(user, {"BOWL": 1, "MUG": 2})
    world.work_until_idle()
    held, failed = world.place(user, {"BOWL": 3}), world.place(user, {"BOWL": 1})
    world.place(user, {cup.sku: 1})
    world.work("orders.confirm")
    world.move(Step(failed.id, 2, Status.CONFIRMED, Status.FAILED, reason="attempts_exhausted"))
    world.work("orders.process")
    world.fold()
    late = world.place(user, {"BOWL": 1})
    world.sql("DELETE FROM outbox WHERE order_id = :id", id=late.id)
    world.move(Step(late.id, 1, Status.PENDING, Status.CANCELLED, Actor.OWNER))
    waiting = world.place(user, {"BOWL": 1})
    [row] = world.sql("SELECT id FROM outbox WHERE order_id = :id", id=waiting.id)[0]
    wish = Wish(Status.CANCELLED, Actor.STAFF, clerk.id)
    with database.transaction(Role.API) as connection:
        _, asked = transition_requests.ask(connection, waiting.id, None, wish)
    assert asked is not None
    assert world.status(held.id) is Status.PROCESSING
    return {
        "order": order.id,
        "user": user.id,
        "key": order.request.key,
        "waiting": waiting.id,
        "row": row,
        "failed": failed.id,
        "asked": asked.id,
        "late": late.id,
    }


@contextmanager
def planting(planted: Planted) -> Iterator[psycopg.Connection]:
    """The superuser, without triggers and the constraint that stands in the way; both are back afterwards."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        kept = connection.execute("SELECT * FROM legal_moves").fetchall()
        definition = _dropped(connection, planted.without) if planted.without else None
        try:
            yield connection
        finally:
            empty_database()
            connection.execute("DELETE FROM legal_moves")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO legal_moves VALUES (%s, %s)", kept)
            if planted.without and definition:
                table, name = planted.without
                connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}".encode())


def _dropped(connection: psycopg.Connection, constraint: tuple[str, str]) -> str:
    table, name = constraint
    [definition] = connection.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [name]
    ).fetchall()[0]
    connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
    return str(definition)


def test_every_invariant_has_a_violation_planted_for_it() -> None:
    assert {planted.name for planted in PLANTED} == {invariant.name for invariant in INVARIANTS}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_a_violation_is_named_and_nothing_else_is(planted: Planted, names: dict[str, object]) -> None:
    code, before = examine()
    assert (code, violated(before)) == (0, {}), "well before"
    with planting(planted) as connection:
        connection.execute(planted.statement.format(**names).encode())
        code, report = examine()
        table = CliRunner().invoke(cli.app, ["check", "--only", planted.name])
        alone = examine("--only", planted.name)
    found = violated(report)
    assert (code, set(found), report["clean"]) == (1, {planted.name, *planted.also}, False)
    expected = planted.violator.format(**names)
    assert any(expected in violator for violator in found[planted.name]), found
    assert (alone[0], len(alone[1]["invariants"]), violated(alone[1])) == (1, 1, {planted.name: found[planted.name]})
    assert table.exit_code == 1
    assert planted.name in table.stdout
    assert found[planted.name][0] in table.stdout


def test_a_clean_system_is_exit_code_0_with_a_line_for_each_invariant(names: dict[str, object]) -> None:
    done = CliRunner().invoke(cli.app, ["check"])
    assert done.exit_code == 0, done.stdout
    assert all(f"✓ {invariant.guarantee} {invariant.name} " in done.stdout for invariant in INVARIANTS)


def test_only_ten_violators_are_named_and_all_are_counted(world: World) -> None:
    world.product("BOWL")
    user = world.user()
    placed: list[UUID] = [world.place(user, {"BOWL": 1}).id for _ in range(12)]
    world.sql("DELETE FROM outbox")
    code, report = examine("--only", "orders-have-their-work")
    [finding] = report["invariants"]
    assert (code, finding["violations"]) == (1, 12)
    assert finding["violators"] == sorted(f"{order} pending" for order in placed)[:10]
    assert "… and 2 more" in CliRunner().invoke(cli.app, ["check"]).stdout


def test_an_unknown_name_is_refused_with_the_known_ones(world: World) -> None:
    done = CliRunner().invoke(cli.app, ["check", "--only", "everything"])
    assert done.exit_code == 1
    assert "there is no invariant 'everything'" in str(done.exception)
    assert "stock-reserved" in str(done.exception)


def test_a_letter_stands_for_an_order_until_it_is_replayed(world: World) -> None:
    world.product("BOWL")
    order = world.place(world.user(), {"BOWL": 1})
    world.sql("DELETE FROM outbox")
    world.sql(
        "INSERT INTO dead_letters (kind, order_id, expected_version, error, attempts, first_at, last_at)"
        " VALUES ('orders.confirm', :id, 1, 'x', 8, now(), now())",
        id=order.id,
    )
    for how, code in (("discarded", 0), ("replayed", 1)):
        world.sql("UPDATE dead_letters SET resolved_at = now(), resolved_by = 'x', resolved_how = :how", how=how)
        assert examine()[0] == code


def test_a_system_at_work_is_clean_at_every_moment_and_is_not_held_up(world: World) -> None:
    counts = []
    with at_work(world):
        for _ in range(8):
            assert violated(examine()[1]) == {}
            counts.append(world.sql("SELECT count(*) FROM orders")[0][0])
    assert counts == sorted(set(counts)), "orders were placed during every examination"


def test_all_invariants_see_one_moment_whatever_happens_meanwhile(world: World) -> None:
    world.product("BOWL")
    for _ in range(3):
        world.place(world.user(), {"BOWL": 1})
    findings = check.examined(settings.current())
    assert next(findings).is_clean
    world.sql("DELETE FROM outbox")
    assert all(finding.is_clean for finding in findings), "this was not yet so when the examination began"
    assert set(violated(examine()[1])) == {"orders-have-their-work"}


def test_without_a_system_it_says_what_to_do(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "ops", "check", "--data", str(tmp_path)]
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DATABASE_URL is not set" in done.stderr
