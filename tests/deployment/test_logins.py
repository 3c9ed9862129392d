"""The two logins of docs/operations.md: one that migrates, and one for the services, which can do no more than they."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import compose_file
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import text

from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Settings


def _settings(url: str) -> Settings:
    needed = {"BROKER_URL": "redis://nowhere", "SECRET_KEY": "x" * 32, "ENVIRONMENT": "local"}
    return settings.read({**needed, "DATABASE_URL": url})


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A cluster of its own: roles belong to the whole cluster."""
    postgres = Postgres(tmp_path_factory.mktemp("logins") / "postgres", {"fsync": "off", "shared_buffers": "16MB"})
    with engines.running(postgres):
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE migrator LOGIN CREATEROLE")
            connection.execute("CREATE DATABASE orders OWNER migrator")
        for _ in range(2):  # it is safe to repeat
            migrate.run(_settings(postgres.url("orders", "migrator")), lambda line: None)
        with psycopg.connect(postgres.url("orders"), autocommit=True) as connection:
            for statement in compose_file.documented_statements("pa55"):
                connection.execute(statement)
        yield postgres


def _becomes(postgres: Postgres, role: Role) -> bool:
    engine = database.engine(_settings(postgres.url("orders", "orders_services")), role)
    try:
        with engine.connect() as connection:
            return bool(connection.execute(text("SELECT current_user")).scalar_one() == role)
    except sqlalchemy.exc.OperationalError:
        return False
    finally:
        engine.dispose()


def test_the_services_can_be_api_and_worker_and_never_the_owner(postgres: Postgres) -> None:
    assert {role for role in Role if _becomes(postgres, role)} == {Role.API, Role.WORKER}


def test_the_doctor_sees_with_the_login_of_the_services_what_it_has_to_see(postgres: Postgres) -> None:
    url = postgres.url("orders", "orders_services")
    environment = {**os.environ, "DATABASE_URL": url, "ENVIRONMENT": "local"}
    command = [sys.executable, "-m", "ops", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = {check["name"]: check["outcome"] for check in json.loads(done.stdout)}
    assert found["database"] == found["migrations"] == "good", done.stdout
    assert found["timetable"] == "skipped", "beat has never run there"


def test_the_services_login_can_do_nothing_as_itself(postgres: Postgres) -> None:
    with (
        psycopg.connect(postgres.url("orders", "orders_services")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT 1 FROM orders")
