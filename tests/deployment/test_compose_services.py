"""docker-compose.yml at work: every service's very command in its very environment, as processes on real engines.

In the order of the file: they start, work, stand still, and stop. Not here are what Docker itself does (users, rights,
read-only roots, restarts), and Prometheus and Grafana, which come as images only.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import compose_file
import composed
import httpx2
import promql
import pytest
from composed import Project
from container import Container, stopped
from patience import patiently
from running_system import eventually

OURS = ("api", "worker", "relay", "beat", "flower")
ACCOUNT = {"email": "clara@shop.example", "password": "a lovely day in may"}
BOWL = {"name": "Bowl", "price_minor": 1000, "currency": "EUR", "on_hand": 10, "active": True}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """All of it, brought up in the steps of docs/operations.md."""
    with composed.project() as begun:
        begun.up("migrate")
        [migrate] = begun.containers("migrate")
        migrate.await_success()
        for statement in compose_file.documented_statements(begun.given["SERVICES_PASSWORD"]):
            begun.execute(statement)
        begun.up()
        yield begun


@pytest.fixture
def client(project: Project) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=project.url("api"), timeout=30, trust_env=False, verify=False) as client:
        yield client


def healthy(containers: list[Container]) -> set[str]:
    with ThreadPoolExecutor(len(containers)) as together:
        answers = together.map(Container.is_healthy, containers)
    return {container.name for container, is_healthy in zip(containers, answers, strict=True) if is_healthy}


def test_every_service_that_stays_becomes_healthy(project: Project) -> None:
    for container in project.containers():
        container.await_health()


def test_an_order_from_outside_goes_its_way_inside(project: Project, client: httpx2.Client) -> None:
    """The product comes from a machine, which gets its key as documented. Nobody plays the warehouse in production."""
    commands = compose_file.documented_commands("Give a machine a key", "migrate")
    _, secret = (project.run("migrate", command) for command in commands[:2])
    put = client.put("/v1/products/BOWL", json=BOWL, headers={"Authorization": f"Bearer {secret}"})
    assert put.status_code == 201, put.text
    assert patiently(lambda: client.post("/v1/auth/register", json=ACCOUNT)).status_code == 201
    login = patiently(lambda: client.post("/v1/auth/login", json=ACCOUNT))
    client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    body = {"items": [{"sku": "BOWL", "quantity": 2}]}
    placed = client.post("/v1/orders", json=body, headers={"Idempotency-Key": "one"})
    assert placed.status_code == 201, placed.text
    order = placed.headers["Location"]
    eventually(lambda: client.get(order).json()["status"] == "processing", "an order that waits for the warehouse")
    events = client.get(f"{order}/events").json()["data"]
    assert [event["to_status"] for event in events] == ["pending", "confirmed", "processing"]


def test_all_of_them_are_there_and_one_of_each_pair_leads(project: Project, client: httpx2.Client) -> None:
    wanted = {
        "orders_workers": 1,
        "orders_relays": 2,
        "orders_relay_leads": 1,
        "orders_beats": 2,
        "orders_beat_leads": 1,
        "orders_broker_reachable": 1,
        "orders_dead_letters": 0,
    }
    assert client.get("/metrics").status_code == 401
    client.headers["Authorization"] = f"Bearer {project.given['METRICS_TOKEN']}"

    def told() -> dict[str, float]:
        samples = promql.scrape(0, client.get("/metrics").text).samples
        return {name: value for name in wanted for value in samples[name].values()}

    eventually(lambda: told() == wanted, f"{wanted}")


def test_flower_knows_the_workers_and_shows_them_to_those_who_have_its_login(project: Project) -> None:
    workers = f"{project.url('flower')}/workers?json=1"
    user, password = project.given["FLOWER_BASIC_AUTH"].split(":")
    assert httpx2.get(workers).status_code == 401

    def known() -> set[str]:
        return {worker["hostname"] for worker in httpx2.get(workers, auth=(user, password)).json()["data"]}

    eventually(lambda: known() == {"worker@worker-1", "relay@relay-1", "relay@relay-2"}, "the names of all nodes")


def test_what_stands_still_is_unhealthy_until_it_goes_on(project: Project) -> None:
    containers = project.containers()
    with ExitStack() as standstill:
        for container in containers:
            standstill.enter_context(container.frozen())
            container.age_heartbeat(90)
        assert healthy(containers) == set()
    for container in containers:
        container.await_health()


def test_each_goes_when_asked_in_the_time_that_it_is_given_and_is_unhealthy_then(project: Project) -> None:
    ours, engines = project.containers(*OURS), project.containers(*composed.ENGINES)
    for containers in (ours, engines):
        assert stopped(containers) == {container.name: 0 for container in containers}
    assert healthy([*engines, *project.containers("api", "flower")]) == set()


def test_flower_keeps_what_it_knows_in_its_volume(project: Project) -> None:
    [flower] = project.containers("flower")
    assert list(Path(flower.places["/var/lib/orders"]).glob("flower.db*"))
