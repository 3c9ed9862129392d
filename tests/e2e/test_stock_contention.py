"""Many want the last pieces: real worker processes, and somebody who looks at the stock all the time."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest
from running_system import RunningSystem, bare_environment, eventually, running

from models.lifecycle import HOLDING
from ops.processes import ports

pytestmark = pytest.mark.timeout(300)

SKU = "LAST-PIECES"
PIECES, ORDERS, ASKED = 100, 1000, 20
# The warehouse is played by this test; three attempts are enough to see an order fail.
SETTINGS = {"AUTOPILOT": "false", "MAX_ATTEMPTS": "3"}
# One statement is one snapshot.
LOOK = """
    SELECT on_hand, reserved, (SELECT coalesce(sum(quantity), 0) FROM orders JOIN order_items ON order_id = orders.id
                               WHERE status = ANY(%s) AND sku = %s)
    FROM products WHERE sku = %s
"""


@contextmanager
def watched(system: RunningSystem) -> Iterator[list[tuple[int, int, int]]]:
    """What the stock was, again and again while the block lasts: on hand, reserved, held by orders."""
    seen: list[tuple[int, int, int]] = []
    over = threading.Event()

    def watch() -> None:
        with psycopg.connect(system.summary["database"], autocommit=True) as connection:
            while not over.is_set():
                found = connection.execute(LOOK, [sorted(HOLDING), SKU, SKU]).fetchall()
                seen.extend((on_hand, reserved, int(held)) for on_hand, reserved, held in found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def place_all(client: httpx2.Client) -> None:
    body = {"items": [{"sku": "BOWL-OAK", "quantity": 2}, {"sku": SKU, "quantity": 1}]}

    def place(_: int) -> int:
        return client.post("/v1/orders", json=body, headers={"Idempotency-Key": str(uuid4())}).status_code

    with ThreadPoolExecutor(32) as threads:
        assert set(threads.map(place, range(ORDERS))) == {201}


def statuses(system: RunningSystem) -> dict[str, int]:
    return dict(system.sql("SELECT status, count(*) FROM orders GROUP BY status"))


def held_orders(system: RunningSystem) -> list[str]:
    return [str(row[0]) for row in system.sql("SELECT id FROM orders WHERE status = 'processing' ORDER BY id")]


def ask(client: httpx2.Client, orders: list[str], **wish: str) -> None:
    """Ask the same of each of these orders four times at once."""

    def once(order: str) -> int:
        return client.post(f"/v1/orders/{order}/transitions", json=wish).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(once, orders * 4)) <= {200, 202, 409}


def assert_stock(system: RunningSystem, on_hand: int, reserved: int) -> None:
    assert system.sql(f"SELECT on_hand, reserved FROM products WHERE sku = '{SKU}'") == [(on_hand, reserved)]


def deliver_again(system: RunningSystem) -> None:
    """Work that was done already, for every order and every version it ever had."""
    with psycopg.connect(system.summary["database"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO outbox (kind, order_id, expected_version) SELECT kind, order_id, version FROM order_events,"
            " (VALUES ('orders.confirm'), ('orders.process'), ('orders.ship'), ('orders.transition')) AS done (kind)"
            " WHERE version < (SELECT version FROM orders WHERE id = order_id)"
        )
    eventually(lambda: system.sql("SELECT count(*) FROM outbox WHERE order_id IS NOT NULL") == [(0,)], "done again")


def test_a_hundred_pieces_go_to_a_hundred_of_a_thousand_orders_and_every_piece_is_counted_once() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="orders-stock-") as directory,
        running(Path(directory), "--port", str(ports.free()), "--workers", "2", "--relays", "2", **SETTINGS) as system,
        system.client("staff") as staff,
        watched(system) as seen,
    ):
        assert (len(system.pids["worker"]), len(system.pids["relay"])) == (2, 2)
        product = {"name": "Last pieces", "price_minor": 100, "currency": "EUR", "on_hand": PIECES, "active": True}
        assert staff.put(f"/v1/products/{SKU}", json=product).status_code == 201
        with system.client("customer") as customer:
            place_all(customer)
        expected = {"processing": PIECES, "cancelled": ORDERS - PIECES}
        eventually(lambda: statuses(system) == expected, "every order confirmed or cancelled", seconds=60)
        assert system.sql("SELECT DISTINCT reason FROM order_events WHERE to_status = 'cancelled'") == [
            ("out_of_stock",)
        ]
        assert_stock(system, on_hand=PIECES, reserved=PIECES)

        given_back, taken, failing = (held_orders(system)[n : n + ASKED] for n in (0, ASKED, 2 * ASKED))
        ask(staff, given_back, to="cancelled", reason="second thoughts")
        ask(staff, taken, to="shipped", tracking_number="T-1")
        eventually(lambda: statuses(system).get("shipped") == ASKED, "shipped")
        eventually(lambda: statuses(system)["cancelled"] == ORDERS - PIECES + ASKED, "cancelled")
        assert_stock(system, on_hand=PIECES - ASKED, reserved=PIECES - 2 * ASKED)

        # From here on nothing can leave the house: who ships, fails.
        nothing_leaves = f"CHECK (sku <> '{SKU}' OR on_hand >= {PIECES - ASKED})"
        with psycopg.connect(system.summary["database"], autocommit=True) as connection:
            connection.execute(f"ALTER TABLE products ADD CONSTRAINT locked_up {nothing_leaves}".encode())
        ask(staff, failing, to="shipped", tracking_number="T-2")
        eventually(lambda: statuses(system).get("failed") == ASKED, "failed", seconds=60)
        assert_stock(system, on_hand=PIECES - ASKED, reserved=PIECES - 3 * ASKED)

        deliver_again(system)
        assert_stock(system, on_hand=PIECES - ASKED, reserved=PIECES - 3 * ASKED)
        assert_clean(system)
    assert len(seen) > 100
    assert [look for look in seen if not 0 <= look[1] <= look[0] or look[1] != look[2]] == []


def assert_clean(system: RunningSystem) -> None:
    command = [sys.executable, "-m", "ops", "check", "--json", "--data", str(system.data)]
    done = subprocess.run(command, env=bare_environment(**SETTINGS), capture_output=True, text=True, check=False)
    violated = [each for each in json.loads(done.stdout)["invariants"] if not each["clean"]]
    assert (done.returncode, violated) == (0, []), done.stderr
