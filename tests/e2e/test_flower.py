"""Flower, however it is started: nobody gets in unasked, nothing can be done, and it stays on the loopback (S41)."""

import subprocess
from collections.abc import Mapping

import httpx2
import psutil
import pytest
from pipeline_nodes import CELERY, Pipeline, ready
from running_system import eventually
from world import World

from ops.processes import ports

pytestmark = pytest.mark.timeout(120)

LOGIN = ("ops", "a-long-password")


def test_s41_flower_without_a_login_does_not_start(nodes: Pipeline) -> None:
    done = subprocess.run(
        [*CELERY, "flower", f"--port={ports.free()}"],
        env=nodes.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "set FLOWER_BASIC_AUTH=user:password" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "environment"),
    [(("--basic-auth=ops:a-long-password",), {}), ((), {"FLOWER_BASIC_AUTH": ":".join(LOGIN)})],
    ids=["option", "environment"],
)
def test_s41_flower_with_a_login_asks_for_it_listens_at_home_and_lets_nobody_act(
    world: World, nodes: Pipeline, options: tuple[str, ...], environment: Mapping[str, str]
) -> None:
    port = ports.free()
    url = f"http://{ports.LOOPBACK}:{port}"
    worker = nodes.start_worker()
    flower = nodes.start("flower", "flower", f"--port={port}", *options, **environment)
    ready(worker)
    eventually(lambda: "Visit me at" in flower.log.read_text(), "Flower", seconds=60)
    assert httpx2.get(f"{url}/workers").status_code == 401
    assert httpx2.get(f"{url}/workers", auth=LOGIN).status_code == 200
    refused = httpx2.post(f"{url}/api/worker/shutdown/worker@test", auth=LOGIN)
    assert refused.status_code == 403, refused.text
    addresses = {each.laddr.ip for each in psutil.Process(flower.pid).net_connections() if each.status == "LISTEN"}
    assert addresses == {ports.LOOPBACK}


def test_flower_shows_what_a_task_is_and_how_many_rows_it_has(world: World, nodes: Pipeline) -> None:
    port = ports.free()
    flower = nodes.start("flower", "flower", f"--port={port}", FLOWER_BASIC_AUTH=":".join(LOGIN))
    eventually(lambda: "Visit me at" in flower.log.read_text(), "Flower", seconds=60)
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(64)])
    relay, worker = nodes.start_relay(), nodes.start_worker()
    ready(relay, worker)

    def shown() -> set[tuple[str, str]]:
        answer = httpx2.get(f"http://{ports.LOOPBACK}:{port}/api/tasks", auth=LOGIN)
        # Under load Flower now and then answers 500: its list changed while it was written down.
        tasks = answer.json().values() if answer.status_code == 200 else ()
        return {(task["name"], task["args"]) for task in tasks}

    eventually(lambda: ("orders.confirm", "(64 rows)") in shown(), "the task and its size")
