"""Every alert about the pipeline fires when its cause is there, and not before: on the running system, for real.

Processes are stopped in the middle of what they do (SIGSTOP), as a machine that hangs would. That a minute passes is
brought about in the database: what is there is made a minute older.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import psutil
import psycopg
import pytest
from alerts import Prometheus
from kombu import Connection
from running_system import RunningSystem, bare_environment, eventually

pytestmark = pytest.mark.timeout(120)

PIPELINE = (
    "OutboxLags",
    "NoRelayLeads",
    "NoBeatLeads",
    "NoWorkers",
    "BrokerUnreachable",
    "DeadLettersGrow",
    "DeadLettersWait",
    "OrdersStuck",
    "TimetableOverdue",
    "RollupsLag",
    "RollupsDrift",
    "RollupsUntrusted",
    "ApiDown",
    "ApiGone",
)


def execute(system: RunningSystem, statement: str) -> None:
    with psycopg.connect(system.summary["database"], autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def prometheus(system: RunningSystem) -> Iterator[Prometheus]:
    """Where nothing is wrong yet, nothing fires; and where nothing is wrong any more, nothing does."""
    execute(system, "DELETE FROM dead_letters")
    watching = Prometheus(system.api)
    watching.expect_silence(*PIPELINE)
    yield watching
    watching.expect_silence(*PIPELINE)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def pids_now(system: RunningSystem, role: str) -> list[int]:
    """Those that write their row; other tests may have killed the first ones."""
    return [row[0] for row in system.sql(f"SELECT pid FROM nodes WHERE role = '{role}'")]


def place(system: RunningSystem) -> str:
    with system.client("customer") as customer:
        [product, *_] = customer.get("/v1/products?limit=1").json()["data"]
        body = {"items": [{"sku": product["sku"], "quantity": 1}]}
        answer = customer.post("/v1/orders", json=body, headers={"Idempotency-Key": os.urandom(8).hex()})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def is_delivered(system: RunningSystem, order_id: str) -> bool:
    return system.sql(f"SELECT status FROM orders WHERE id = '{order_id}'") == [("delivered",)]


def silence(system: RunningSystem, role: str) -> None:
    execute(system, f"UPDATE nodes SET beat_at = beat_at - interval '20 seconds' WHERE role = '{role}'")


def test_a_relay_that_hangs_is_noticed_and_so_is_what_waits_for_it(
    system: RunningSystem, prometheus: Prometheus
) -> None:
    with stopped(*pids_now(system, "relay")):
        order_id = place(system)
        silence(system, "relay")
        execute(system, "UPDATE outbox SET available_at = available_at - interval '2 minutes'")
        execute(system, f"UPDATE orders SET due_at = now() - interval '1 minute' WHERE id = '{order_id}'")
        late = "last_success_at = last_success_at - interval '10 minutes'"
        execute(system, f"UPDATE schedule_state SET {late} WHERE entry = 'rollups.fold'")
        prometheus.expect("NoRelayLeads", "OutboxLags", "OrdersStuck", "TimetableOverdue")
        assert not prometheus.firing("NoWorkers") and not prometheus.firing("NoBeatLeads")
    eventually(lambda: is_delivered(system, order_id), "the order that waited")


def test_a_worker_that_hangs_is_noticed(system: RunningSystem, prometheus: Prometheus) -> None:
    with stopped(*pids_now(system, "worker")):
        silence(system, "worker")
        prometheus.expect("NoWorkers")
        assert not prometheus.firing("NoRelayLeads") and not prometheus.firing("NoBeatLeads")


def test_a_beat_that_hangs_is_noticed(system: RunningSystem, prometheus: Prometheus) -> None:
    with stopped(*pids_now(system, "beat")):
        silence(system, "beat")
        prometheus.expect("NoBeatLeads")
        assert not prometheus.firing("NoRelayLeads") and not prometheus.firing("NoWorkers")


def test_a_broker_that_is_gone_is_noticed(system: RunningSystem, prometheus: Prometheus) -> None:
    with stopped(system.process.pid):  # who would start it again at once
        os.kill(system.broker_pid(), signal.SIGKILL)
        order_id = place(system)
        prometheus.expect("BrokerUnreachable")
    eventually(lambda: is_delivered(system, order_id), "the order that waited")


def test_a_message_that_nobody_can_do_is_noticed_however_many_letters_wait(
    system: RunningSystem, prometheus: Prometheus
) -> None:
    """Found by a review on 25 November 2026: the alert looked at how the number of letters grows, which is counted to
    10 000 and no further. The ten-thousand-and-first told nobody."""
    execute(
        system,
        "INSERT INTO dead_letters (kind, error, attempts, first_at, last_at)"
        " SELECT 'orders.ship', 'of yesterday', 8, now() - interval '1 day', now() - interval '1 day'"
        " FROM generate_series(1, 10000)",
    )
    prometheus.expect("DeadLettersWait")
    prometheus.expect_silence("DeadLettersGrow")
    with Connection(system.summary["broker"]) as connection:
        headers = {"task": "orders.nobody-can", "id": "00000000-0000-4000-8000-000000000000"}
        connection.Producer().publish([[[1]], {}, {}], headers=headers, routing_key="orders")
    prometheus.expect("DeadLettersGrow")
    execute(system, "DELETE FROM dead_letters")


def test_a_forgotten_transaction_that_holds_the_fold_back_is_noticed(
    system: RunningSystem, prometheus: Prometheus
) -> None:
    def grow_older() -> None:
        execute(system, "UPDATE rollup_state SET as_of = as_of - interval '2 minutes'")

    with psycopg.connect(system.summary["database"]) as forgotten:
        forgotten.execute("SELECT pg_current_xact_id()")
        prometheus.expect("RollupsLag", meanwhile=grow_older)


def test_a_watermark_that_is_not_ours_is_noticed_until_all_is_recounted(
    system: RunningSystem, prometheus: Prometheus
) -> None:
    """As after a restored dump. Nobody recounts as long as the worker hangs."""
    with stopped(*pids_now(system, "worker")):
        execute(system, "UPDATE rollup_state SET cluster = cluster + 1")
        prometheus.expect("RollupsUntrusted")


def test_an_api_that_hangs_is_noticed(system: RunningSystem, prometheus: Prometheus) -> None:
    children = psutil.Process(system.process.pid).children()
    with stopped(*(child.pid for child in children if "serve" in child.cmdline())):
        prometheus.expect("ApiDown", "ApiGone")


def test_aggregates_that_an_audit_found_wrong_are_noticed(system: RunningSystem, prometheus: Prometheus) -> None:
    def audit() -> int:
        command = [sys.executable, "-m", "ops", "rollups", "audit", "--day", "2020-02-29", "--data", str(system.data)]
        return subprocess.run(command, env=bare_environment(), capture_output=True, check=False).returncode

    execute(system, "INSERT INTO daily_orders VALUES ('2020-02-29', 'EUR', 'pending', 3, 300)")
    assert audit() == 1, "it finds the row, and repairs it"
    prometheus.expect("RollupsDrift")
    assert audit() == 0


def test_what_two_processes_count_is_told_by_either(system: RunningSystem) -> None:
    def counted() -> float:
        found = Prometheus(system.api)
        return sum(
            value
            for labels, value in found.last["orders_http_request_duration_seconds_count"].items()
            if ("route", "/health/liveness") in labels
        )

    assert len(system.pids["api"]) == 2
    before = counted()
    for _ in range(20):  # connections, each of which may be another process's
        assert httpx2.get(f"{system.api}/health/liveness").status_code == 200
    assert {counted() for _ in range(10)} == {before + 20}
