"""The whole system works as the broker's user with few rights, and lacks none (S42)."""

import os
import subprocess
import sys
from uuid import uuid4

import pytest
import redis
from running_system import RunningSystem, eventually

from ops.local import secrets_file
from ops.local.broker_users import SUPERVISES, WORKS

pytestmark = pytest.mark.timeout(300)


def ordered(system: RunningSystem) -> str:
    """The path of an order that was placed just now."""
    with system.client("customer") as customer:
        sku = customer.get("/v1/products").json()["data"][0]["sku"]
        body = {"items": [{"sku": sku, "quantity": 1}]}
        answer = customer.post("/v1/orders", json=body, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 201
        return str(answer.headers["Location"])


def test_s42_everything_runs_as_the_user_with_few_rights_and_is_refused_nothing(system: RunningSystem) -> None:
    password = secrets_file.load(system.data / "secrets.json").broker.supervises
    address = system.summary["broker"].rpartition("@")[2]
    with redis.Redis.from_url(f"redis://{SUPERVISES}:{password}@{address}", decode_responses=True) as supervisor:
        supervisor.acl_log_reset()
        path = ordered(system)
        with system.client("customer") as customer:
            eventually(lambda: customer.get(path).json()["status"] == "delivered", "delivery")
        asked = [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "relay", "--timeout", "10"]
        own = {"BROKER_URL": system.summary["broker"], "DATABASE_URL": system.summary["database"]}
        done = subprocess.run(asked, env={**os.environ, **own}, capture_output=True, text=True, check=False)
        assert "lag_seconds" in done.stdout, done.stdout + done.stderr
        connected = [each["user"] for each in supervisor.client_list()]
        assert supervisor.acl_log() == []
    assert len(connected) > 3
    assert {user for user in connected if user != SUPERVISES} == {WORKS}
