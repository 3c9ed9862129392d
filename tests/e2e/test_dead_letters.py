"""G5 on the whole system: what keeps failing ends in the dead letters, with its own error, after its own attempts."""

import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from running_system import RunningSystem, eventually, running

from ops import ports

pytestmark = [pytest.mark.xdist_group("whole system"), pytest.mark.timeout(300)]

MAX_ATTEMPTS = 3


def letters(system: RunningSystem) -> list[tuple[str, int, str, bool]]:
    rows = system.sql("SELECT kind, attempts, error, traceback IS NOT NULL FROM dead_letters ORDER BY kind")
    return [tuple(row) for row in rows]


def test_g5_a_failing_row_and_one_that_nobody_can_do_are_both_buried_and_counted_right() -> None:
    with tempfile.TemporaryDirectory(prefix="orders-letters-") as directory:
        environment = {"LEASE": "3", "MAX_ATTEMPTS": str(MAX_ATTEMPTS)}
        with running(Path(directory), "--port", str(ports.free()), **environment) as system:
            with psycopg.connect(system.summary["database"], autocommit=True) as connection:
                connection.execute("ALTER TABLE products ADD CONSTRAINT locked_up CHECK (reserved = 0)")
                connection.execute("INSERT INTO outbox (kind) VALUES ('orders.nobody-can')")
            with system.client("customer") as client:
                body = {"items": [{"sku": "BOWL-OAK", "quantity": 1}]}
                order = client.post("/v1/orders", json=body, headers={"Idempotency-Key": str(uuid4())}).json()
                eventually(lambda: len(letters(system)) == 2, "two dead letters", seconds=60)
                assert client.get(order["links"]["self"]).json()["status"] == "failed"
            failing, impossible = letters(system)
            assert (failing[0], failing[1], failing[3]) == ("orders.confirm", MAX_ATTEMPTS, True)
            assert "locked_up" in failing[2], "the error of the work, not of the relay"
            assert impossible == ("orders.nobody-can", MAX_ATTEMPTS, "not done within its lease", False)
