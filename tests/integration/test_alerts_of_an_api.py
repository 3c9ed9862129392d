"""Every alert about the API and its database fires when its cause is there, and not before.

On an API and a PostgreSQL of its own, which is killed, locked and filled up as no shared one may be.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import httpx2
import psutil
import psycopg
import pytest
from alerts import Prometheus
from api_server import Server, serving
from at_once import at_once
from patience import patiently
from promql import scrape
from running_system import eventually

from api.acceptor import Acceptor
from api.app import create_app
from api.metrics.scrape import GOOD_FOR_SECONDS
from api.views.orders import AnswerRenderer
from models.acceptance import Terms
from models.identity.permissions import Role
from ops import migrate, seed
from ops.local import engines
from ops.local.engines import Postgres
from ops.processes.children import Child
from ops.seed import DemoUser
from runtime import settings

ALERTS = (
    "ApiNotReady",
    "ApiErrors",
    "AcceptanceSlow",
    "AcceptorFull",
    "RevocationsUnseen",
    "TriesHeldUp",
    "DatabaseDown",
    "DatabaseUnread",
    "DatabaseConnectionsShort",
)
CONNECTIONS_MAX = 40
CUSTOMER = {"email": "customer@shop.test", "password": "a-long-passphrase-of-theirs"}
TRIES_ENOUGH = 105
# Prometheus' own limit, in ops/monitoring/prometheus.yml.
SCRAPE_SECONDS_MAX = 5.0

_keys = count(1)


@dataclass
class Rig:
    """An API with a database of its own, and a customer who has logged in."""

    postgres: Postgres
    engine: Child
    server: Server
    client: httpx2.Client

    @property
    def url(self) -> str:
        return self.postgres.url("orders")

    def order(self) -> httpx2.Response:
        body = {"items": [{"sku": "BOWL-OAK", "quantity": 1}]}
        return self.client.post("/v1/orders", json=body, headers={"Idempotency-Key": f"key-{next(_keys)}"})

    def place(self) -> None:
        assert self.order().status_code == 201

    def ask(self, path: str) -> httpx2.Response:
        """By somebody who does not wait for long."""
        return httpx2.get(f"{self.server.url}{path}", timeout=SCRAPE_SECONDS_MAX, trust_env=False)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Somebody holds the whole table."""
        with psycopg.connect(self.url) as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="orders-alerts-") as directory, ExitStack() as stack:
        limits = {"fsync": "off", "max_connections": str(CONNECTIONS_MAX)}
        postgres = Postgres(Path(directory) / "postgres", settings=limits)
        engine = engines.start(postgres)
        postgres.ensure_database("orders")
        given = {**os.environ, "DATABASE_URL": postgres.url("orders"), "LOGIN_TRIES": "2/hour"}
        configured = settings.read(given)
        migrate.run(configured, lambda line: None)
        seed.run(configured, [DemoUser(**CUSTOMER, name="Customer", role=Role.CUSTOMER)])
        server = stack.enter_context(serving(create_app(configured)))
        client = stack.enter_context(httpx2.Client(base_url=server.url, timeout=30, trust_env=False))
        token = patiently(lambda: client.post("/v1/auth/login", json=CUSTOMER)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        started = Rig(postgres, engine, server, client)
        yield started
        started.engine.stop()


@pytest.fixture
def prometheus(rig: Rig) -> Prometheus:
    """Where nothing is wrong yet, nothing fires; least of all because an order is placed."""
    watching = Prometheus(rig.server.url)
    watching.expect_silence(*ALERTS, meanwhile=rig.place)
    return watching


def test_an_order_that_waits_for_a_lock_is_noticed(rig: Rig, prometheus: Prometheus) -> None:
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(rig.order().status_code))
    with rig.locked("orders"):
        waiting.start()
        time.sleep(1.3)
    waiting.join()
    assert answers == [201]
    prometheus.expect("AcceptanceSlow")


def test_a_queue_without_a_place_is_noticed(rig: Rig, prometheus: Prometheus) -> None:
    services = rig.server.services
    terms = Terms(services.policy, services.settings.zone, AnswerRenderer())
    narrow = Acceptor(services.hurried, services.database, terms, services.measures, waiting_max=0)
    rig.server.app.state.services = replace(services, acceptor=narrow)
    try:
        assert rig.order().status_code == 503
    finally:
        rig.server.app.state.services = services
    prometheus.expect("AcceptorFull")


def test_guesses_at_a_password_are_noticed(rig: Rig, prometheus: Prometheus) -> None:
    def guess() -> int:
        return rig.client.post("/v1/auth/login", json={**CUSTOMER, "password": "a-guess-at-it"}).status_code

    eventually(lambda: guess() == 429, "a refusal")
    prometheus.scrape()
    assert [guess() for _ in range(TRIES_ENOUGH)].count(429) > TRIES_ENOUGH - 3
    prometheus.expect("TriesHeldUp")


def test_a_part_that_cannot_be_read_is_noticed_and_the_others_are_read(rig: Rig, prometheus: Prometheus) -> None:
    with rig.locked("daily_orders"):
        prometheus.expect("DatabaseUnread")
        assert not prometheus.firing("DatabaseDown")
        assert prometheus.last["orders_dead_letters"] and prometheus.last["orders_database_connections"]


def test_a_database_with_few_connections_left_is_noticed(rig: Rig, prometheus: Prometheus) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX * 8 // 10 - 4):
            stack.enter_context(psycopg.connect(rig.url))
        prometheus.expect("DatabaseConnectionsShort")


def test_a_database_that_hangs_makes_neither_a_scrape_hang_nor_a_probe(rig: Rig, prometheus: Prometheus) -> None:
    """Both gave up in time and then waited for psycopg, which asks a server to cancel before it lets go: 5 s more."""
    server = psutil.Process(rig.engine.pid)
    processes = [server, *server.children()]
    time.sleep(GOOD_FOR_SECONDS)  # what was read before is not told again
    for process in processes:
        process.suspend()
    try:
        answer, probe = at_once(*(lambda path=path: rig.ask(path) for path in ("/metrics", "/health/readiness")))
    finally:
        for process in processes:
            process.resume()
    assert probe.status_code == 503
    samples = scrape(0, answer.text).samples
    assert list(samples["orders_database_up"].values()) == [0]
    assert sorted(samples["orders_vitals_read"].values()) == [0, 0, 0]
    assert samples["orders_placements_total"]
    eventually(lambda: rig.client.get("/health/readiness").status_code == 200, "an API that is ready again")


def test_a_database_that_is_killed_is_noticed_and_the_scrape_goes_on(rig: Rig, prometheus: Prometheus) -> None:
    rig.engine.kill()
    prometheus.expect(
        "DatabaseDown",
        "ApiErrors",
        "ApiNotReady",
        "RevocationsUnseen",
        meanwhile=lambda: rig.client.get("/health/readiness"),
    )
    assert prometheus.last["orders_http_request_duration_seconds_count"]
    assert prometheus.last["orders_dead_letters"] == {}
    rig.engine = engines.start(rig.postgres)
    eventually(lambda: rig.client.get("/health/readiness").status_code == 200, "an API that is ready again")
    prometheus.expect_silence(*ALERTS)
    rig.place()
