"""The guarantees of DESIGN §1, on the whole running system, while parts of it are killed."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from patience import patiently
from running_system import RunningSystem, eventually

pytestmark = pytest.mark.timeout(300)

ORDER = {"items": [{"sku": "BOWL-OAK", "quantity": 1}, {"sku": "CUP-ENAMEL", "quantity": 2}]}
WHOLE_WAY = ["pending", "confirmed", "processing", "shipped", "delivered"]


def place(client: httpx2.Client, key: str | None = None, **body: object) -> httpx2.Response:
    return client.post("/v1/orders", json=ORDER | body, headers={"Idempotency-Key": key or str(uuid4())})


def place_many(client: httpx2.Client, count: int) -> list[str]:
    """Place orders from several threads; returns their ids."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: place(client), range(count)))
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json()["id"] for answer in answers]


def assert_every_order_went_the_whole_way_once(system: RunningSystem) -> None:
    wrong = system.sql(
        "SELECT order_id FROM order_events GROUP BY order_id"
        f" HAVING array_agg(to_status ORDER BY version) <> ARRAY{WHOLE_WAY}::text[]"
    )
    assert wrong == []
    [[reserved, short]] = system.sql(
        "SELECT sum(reserved), sum(10000000 - on_hand)"
        " - (SELECT coalesce(sum(quantity), 0) FROM order_items) FROM products"
    )
    assert (reserved, short) == (0, 0), "stock has left exactly once for every line"
    assert system.sql("SELECT count(*) FROM dead_letters") == [(0,)]


def all_delivered(system: RunningSystem) -> bool:
    return system.sql("SELECT count(*) FROM orders WHERE status <> 'delivered'") == [(0,)]


def test_a_new_customer_sees_their_order_delivered_and_the_staff_sees_it_counted(system: RunningSystem) -> None:
    with httpx2.Client(base_url=system.api) as client, system.client("staff") as staff:
        today = datetime.now(UTC).date().isoformat()
        window = {"from": today, "to": today, "currency": "EUR"}
        before = staff.get("/v1/analytics/orders-per-day", params=window).json()["data"][0]
        account = {"email": f"{uuid4()}@example.com", "password": "a long enough secret"}
        assert patiently(lambda: client.post("/v1/auth/register", json=account)).status_code == 201
        token = patiently(lambda: client.post("/v1/auth/login", json=account)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        order = place(client).json()
        eventually(lambda: client.get(order["links"]["self"]).json()["status"] == "delivered", "delivery")
        events = client.get(order["links"]["events"]).json()["data"]
        assert [event["to_status"] for event in events] == WHOLE_WAY

        def counted() -> bool:
            day = staff.get("/v1/analytics/orders-per-day", params=window).json()["data"][0]
            return bool(day["orders"] > before["orders"] and day["revenue_minor"] > before["revenue_minor"])

        eventually(counted, "the order in the aggregates", seconds=10)


def test_flower_knows_worker_and_relay_and_their_tasks(system: RunningSystem) -> None:
    flower = system.summary["flower"]
    auth = ("orders", json.loads((system.data / "secrets.json").read_text())["flower_password"])

    def tasks() -> set[str]:
        answer = httpx2.get(f"{flower}/api/tasks", auth=auth)
        # Under load Flower now and then answers 500: its list changed while it was written down.
        return {task["name"] for task in answer.json().values()} if answer.status_code == 200 else set()

    with system.client("customer") as client:
        place(client)
    eventually(lambda: {"orders.confirm", "orders.deliver", "rollups.fold"} <= tasks(), "tasks in Flower")
    page = httpx2.get(f"{flower}/workers", auth=auth).text
    assert "worker@" in page
    assert "relay@" in page


def test_people_on_call_see_in_one_look_that_all_is_well(system: RunningSystem) -> None:
    with system.client("staff") as staff:

        def look() -> dict[str, Any]:
            seen: dict[str, Any] = staff.get("/v1/ops/pipeline").json()
            return seen

        eventually(lambda: look()["status"] == "ok", "a pipeline without problems")
        seen = look()
    assert seen["workers"]["alive"] == 1
    assert seen["relay"]["leader"]["name"].startswith("relay@")
    assert seen["beat"]["leader"]["name"].startswith(f"beat-{system.pids['beat'][0]}@")


def test_g2_fifty_at_once_with_one_key_make_one_order_with_one_answer(system: RunningSystem) -> None:
    with system.client("customer") as client:
        key = str(uuid4())
        with ThreadPoolExecutor(50) as threads:
            answers = list(threads.map(lambda _: place(client, key), range(50)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
        assert place(client, key, metadata={"other": "body"}).json()["code"] == "idempotency_key_reused"
        assert client.post("/v1/orders", json=ORDER).json()["code"] == "idempotency_key_missing"


def test_g3_g5_a_worker_killed_in_the_middle_loses_nothing_and_repeats_nothing(system: RunningSystem) -> None:
    with system.client("customer") as client:
        place_many(client, 300)
        os.kill(system.pids["worker"][0], signal.SIGKILL)
        place_many(client, 700)
    eventually(lambda: all_delivered(system), "all orders delivered", seconds=90)
    assert_every_order_went_the_whole_way_once(system)


@contextmanager
def stopped(pid: int, seconds: float) -> Iterator[None]:
    """A process that hangs: it holds its sockets, and answers nothing."""
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def place_for(client: httpx2.Client, seconds: float) -> tuple[int, float]:
    """Place orders one after the other; returns how many, and how long the slowest took."""
    ends_at = time.monotonic() + seconds
    slowest, count = 0.0, 0
    while time.monotonic() < ends_at:
        began = time.monotonic()
        assert place(client).status_code == 201
        slowest, count = max(slowest, time.monotonic() - began), count + 1
    return count, slowest


def test_g4_orders_are_accepted_while_the_broker_hangs_and_all_arrive_afterwards(system: RunningSystem) -> None:
    with system.client("customer") as client, stopped(system.broker_pid(), seconds=8):
        count, slowest = place_for(client, seconds=5)
        readiness = client.get("/health/readiness")
    assert count > 100
    assert slowest < 2, "acceptance does not notice"
    assert (readiness.status_code, readiness.json()["status"]) == (200, "degraded")
    eventually(lambda: all_delivered(system), "all orders delivered", seconds=90)
    assert_every_order_went_the_whole_way_once(system)


def test_g4_a_broker_that_is_killed_for_ten_seconds_and_comes_back_empty_loses_nothing(system: RunningSystem) -> None:
    def keep_killing() -> None:
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            with suppress(LookupError, ProcessLookupError):
                os.kill(system.broker_pid(), signal.SIGKILL)
            time.sleep(0.05)

    killer = threading.Thread(target=keep_killing)
    with system.client("customer") as client:
        place_many(client, 200)
        killer.start()
        count, slowest = place_for(client, seconds=10)
    killer.join()
    assert count > 100
    assert slowest < 2, "acceptance does not notice"
    eventually(lambda: all_delivered(system), "all orders delivered", seconds=90)
    assert_every_order_went_the_whole_way_once(system)
