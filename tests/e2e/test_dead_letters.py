"""G5 on the whole system: what keeps failing ends in the dead letters, with its own error, after its own attempts; and
what somebody replays, once the cause is mended, goes its way after all.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from running_system import RunningSystem, bare_environment, eventually, running

from ops.processes import ports

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
MAX_ATTEMPTS = 3
LETTERS = "/v1/ops/dead-letters"
BOWL = "BOWL-OAK"


def letters(system: RunningSystem) -> list[tuple[str, int, str, bool]]:
    rows = system.sql("SELECT kind, attempts, error, traceback IS NOT NULL FROM dead_letters ORDER BY kind")
    return [tuple(row) for row in rows]


def place(client: Any) -> dict[str, Any]:
    body = {"items": [{"sku": BOWL, "quantity": 1}]}
    placed: dict[str, Any] = client.post("/v1/orders", json=body, headers={"Idempotency-Key": str(uuid4())}).json()
    return placed


def dead_letters(system: RunningSystem, *arguments: str) -> list[Any]:
    """`orders dead-letters … --json`, as somebody types it beside the running system, with no settings."""
    command = [sys.executable, "-m", "ops", "dead-letters", *arguments, "--json", "--data", str(system.data)]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told: list[Any] = json.loads(done.stdout)
    return told


def stock(system: RunningSystem) -> tuple[int, int]:
    [(on_hand, reserved)] = system.sql(f"SELECT on_hand, reserved FROM products WHERE sku = '{BOWL}'")
    return on_hand, reserved


def test_g5_what_fails_is_buried_and_what_is_replayed_after_the_repair_is_delivered() -> None:
    with tempfile.TemporaryDirectory(prefix="orders-letters-") as directory:
        # A long lease: nothing here may have to wait for one.
        environment = {"LEASE": "60", "MAX_ATTEMPTS": str(MAX_ATTEMPTS)}
        with running(Path(directory), "--port", str(ports.free()), **environment) as system:
            with psycopg.connect(system.summary["database"], autocommit=True) as connection:
                connection.execute("ALTER TABLE products ADD CONSTRAINT locked_up CHECK (reserved = 0)")
                connection.execute("INSERT INTO outbox (kind) VALUES ('orders.nobody-can')")
            on_hand, _ = stock(system)
            with system.client("customer") as client, system.client("staff") as staff:
                orders = [place(client)["links"]["self"] for _ in range(2)]
                eventually(lambda: len(letters(system)) == 3, "three dead letters", seconds=60)
                assert {client.get(order).json()["status"] for order in orders} == {"failed"}
                assert_what_they_say(system)
                assert stock(system) == (on_hand, 0)
                with psycopg.connect(system.summary["database"], autocommit=True) as connection:
                    connection.execute("ALTER TABLE products DROP CONSTRAINT locked_up")
                replay_both_ways(system, staff)
                for order in orders:
                    eventually(lambda: client.get(order).json()["status"] == "delivered", "delivery")  # noqa: B023
                    events = client.get(f"{order}/events").json()["data"]
                    assert [event["to_status"] for event in events] == [
                        *("pending", "failed", "pending"),
                        *("confirmed", "processing", "shipped", "delivered"),
                    ]
                assert stock(system) == (on_hand - 2, 0)
                assert staff.get(LETTERS).json()["data"] == []


def assert_what_they_say(system: RunningSystem) -> None:
    *failing, impossible = letters(system)
    for kind, attempts, error, has_traceback in failing:
        assert (kind, attempts, has_traceback) == ("orders.confirm", MAX_ATTEMPTS, True)
        assert "locked_up" in error, "the error of the work, not of the relay"
    assert impossible == ("orders.nobody-can", MAX_ATTEMPTS, "no task has this name", False)


def replay_both_ways(system: RunningSystem, staff: Any) -> None:
    """One order by the API, twice; the other one by the command line; the work that nobody can do is put away."""
    impossible, *failing = sorted(staff.get(LETTERS).json()["data"], key=lambda letter: letter["kind"], reverse=True)
    first, second = failing
    answers = [staff.post(f"{first['links']['self']}/replay", json={"reason": "mended"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    [foreseen] = dead_letters(system, "replay", "--all-matching", "--kind", "orders.confirm", "--dry-run")
    assert (foreseen["id"], foreseen["how"]) == (second["id"], "retried")
    assert dead_letters(system, "replay", str(second["id"]), "--reason", "mended") == [foreseen]
    discarded = dead_letters(system, "discard", str(impossible["id"]), "--reason", "nobody ever could")
    assert discarded == [{"id": impossible["id"], "how": "discarded", "refusal": None}]
