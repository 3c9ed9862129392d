"""Liveness and readiness."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from api_client import Client, Shop
from api_server import serving

from api.app import create_app
from models.identifiers import uuid7
from ops.processes import ports
from runtime import settings


def test_a_living_process_says_so_without_a_token(anonymous: Client) -> None:
    response = anonymous.get("/health/liveness")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_liveness_asks_the_database_nothing(shop: Shop, anonymous: Client) -> None:
    with shop.statements() as statements:
        anonymous.get("/health/liveness")
    assert statements == []


def test_a_ready_process_names_its_checks(anonymous: Client) -> None:
    response = anonymous.get("/health/readiness")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "broker": "ok"}}


@contextmanager
def schema_at(revision: str) -> Iterator[None]:
    url = settings.current().database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True) as connection:
        present = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
        try:
            yield
        finally:
            connection.execute("UPDATE alembic_version SET version_num = %s", present)


def test_a_process_whose_schema_is_old_is_not_ready(anonymous: Client) -> None:
    with schema_at("0001"):
        response = anonymous.get("/health/readiness")
    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "migrations": "behind", "broker": "ok"}


def test_a_process_goes_on_serving_while_a_newer_schema_is_rolled_out(anonymous: Client) -> None:
    with schema_at("9999"):
        assert anonymous.get("/health/readiness").status_code == 200


def test_a_lost_broker_leaves_the_process_ready_and_accepting(shop: Shop) -> None:
    lost = settings.read({**os.environ, "BROKER_URL": f"redis://127.0.0.1:{ports.free()}/0"})
    customer = shop.world.user()
    with (
        serving(create_app(lost)) as server,
        Client(server.url, customer, server.services.tokens.issue(customer, uuid7())) as client,
    ):
        readiness = client.get("/health/readiness")
        assert (readiness.status_code, readiness.json()["status"]) == (200, "degraded")
        assert readiness.json()["checks"]["broker"] == "degraded"
        assert client.order().status_code == 201


def test_a_broker_that_takes_connections_and_says_nothing_holds_up_no_answer(shop: Shop) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as silent:
        url = f"redis://{ports.LOOPBACK}:{silent.getsockname()[1]}/0"
        with (
            serving(create_app(settings.read({**os.environ, "BROKER_URL": url}))) as server,
            Client(server.url, None, None) as client,
        ):
            asked_at = time.monotonic()
            readiness = client.get("/health/readiness")
            assert (readiness.status_code, readiness.json()["checks"]["broker"]) == (200, "degraded")
            assert time.monotonic() - asked_at < 4
