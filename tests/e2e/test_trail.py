"""One order's way, from HTTP to delivered, by the id of its request: on the running system and its very log."""

import os
import subprocess
import sys

from running_system import RunningSystem, bare_environment, eventually

WAY = ["v1 pending", "v2 pending → confirmed", "v3 confirmed → processing", "v4 processing → shipped"]
TASKS = ["orders.confirm", "orders.process", "orders.ship", "orders.deliver"]


def trail(system: RunningSystem, wanted: str) -> str:
    command = [sys.executable, "-m", "ops", "trail", wanted, "--data", str(system.data)]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_way_of_an_order_is_told_from_its_request_to_its_delivery(system: RunningSystem) -> None:
    name = f"trail-{os.urandom(6).hex()}"
    with system.client("customer") as customer:
        sku = customer.get("/v1/products?limit=1").json()["data"][0]["sku"]
        answer = customer.post(
            "/v1/orders",
            json={"items": [{"sku": sku, "quantity": 1}]},
            headers={"Idempotency-Key": name, "X-Request-ID": name},
        )
        order_id = answer.json()["id"]
    log = system.data / "log" / "orders.log"
    eventually(lambda: log.read_text().count(f'"{name}"') >= 1 + len(TASKS), "all lines of the order")

    told = trail(system, name)
    assert told.splitlines()[:2] == [f"order {order_id}", f"asked for by {name}"]
    assert " api       request method=POST route=/v1/orders status=201" in told
    for words in (*WAY, "v5 shipped → delivered by system"):
        assert f" database  {words}" in told
    for task in TASKS:
        assert f" worker    batch done kind={task}" in told
