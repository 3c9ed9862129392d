"""The real parts every test may use: one PostgreSQL and one Valkey per run, one database per xdist worker.

The controller starts the engines and migrates a template; each worker clones it. Nothing of ours is mocked.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from pipeline_nodes import Pipeline, pipeline
from world import World, empty_database, forget_counts

from ops import migrate
from ops.local import engines
from ops.processes import ports
from runtime import logs, settings
from runtime.settings import LogFormat

pytest_plugins = ("api_fixtures",)

TEMPLATE = "template_orders"
TEMPLATE_URL = "ORDERS_TEST_TEMPLATE_URL"
BROKER_DATABASES = 16

_engines = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None:
        _start_engines()
    _clone_template(f"orders_{worker or 'main'}")
    _choose_broker_database(worker)
    logs.configure("tests", "CRITICAL", LogFormat.JSON)


def pytest_unconfigure(config: pytest.Config) -> None:
    _engines.close()


def _start_engines() -> None:
    directory = Path(_engines.enter_context(tempfile.TemporaryDirectory(prefix="orders-tests-")))
    # The tests kill processes, not the machine: what fsync protects from does not happen to them.
    postgres = engines.Postgres(directory / "postgres", settings={"fsync": "off"})
    valkey = engines.Valkey(directory / "valkey", ports.free())
    _engines.enter_context(engines.running(postgres))
    _engines.enter_context(engines.running(valkey))
    postgres.ensure_database(TEMPLATE)
    os.environ |= {
        TEMPLATE_URL: postgres.url(TEMPLATE),
        "ENVIRONMENT": "local",
        "DATABASE_URL": postgres.url(TEMPLATE),
        "BROKER_URL": valkey.url,
        "SECRET_KEY": "only-for-tests-" + "0" * 32,
        "AUTOPILOT": "true",
        "AUTOPILOT_DWELL": "0",
        "LOG_LEVEL": "WARNING",
    }
    migrate.run(settings.read(), lambda line: None)


def _clone_template(name: str) -> None:
    url = os.environ[TEMPLATE_URL]
    with psycopg.connect(url.replace(TEMPLATE, "postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}')
    os.environ["DATABASE_URL"] = url.replace(TEMPLATE, name)


def _choose_broker_database(worker: str | None) -> None:
    """One of its sixteen for each process of the run: what one counts there is not the others' business."""
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    os.environ["BROKER_URL"] = f"{os.environ['BROKER_URL'].rpartition('/')[0]}/{number % BROKER_DATABASES}"


@pytest.fixture
def clean_database() -> None:
    """Begin with no rows but those the schema brings."""
    empty_database()
    forget_counts()


@pytest.fixture
def world(clean_database: None) -> World:
    """A small shop, in the empty database."""
    return World()


@pytest.fixture
def nodes(world: World) -> Iterator[Pipeline]:
    """Room for a pipeline of real processes on the test's database, with a broker of their own."""
    with pipeline() as started:
        yield started
