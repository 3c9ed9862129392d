"""A dump that is restored into another cluster, as docs/operations.md says: its transaction ids mean nothing there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine
from world import World

from models import errors
from models.analytics import daily_figures, rebuild, rollups, user_revenue
from models.analytics.rollups import UntrustedWatermark
from models.analytics.windows import Window
from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from ops.local.postgres_directory import binaries
from ops.rollups import each_in_a_transaction
from runtime import settings

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
EVER = Window(None, None)
# Ids of the old cluster may lie before or after those of the new one.
BEHIND = {"an older cluster": 0, "a younger cluster": 20_000}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Postgres]:
    """Another one, with our roles and an empty database to restore into."""
    postgres = Postgres(tmp_path / "postgres", settings={"fsync": "off", "shared_buffers": "16MB"})
    with engines.running(postgres):
        for name in ("roles", "restored"):
            postgres.ensure_database(name)
        needed = {name: os.environ[name] for name in ("ENVIRONMENT", "BROKER_URL", "SECRET_KEY")}
        migrate.run(settings.read({**needed, "DATABASE_URL": postgres.url("roles")}), lambda _: None)
        yield postgres


def restore(cluster: Postgres) -> Engine:
    url = settings.current().database_url.get_secret_value()
    dump = subprocess.run([binaries() / "pg_dump", "-d", url], check=True, capture_output=True).stdout
    command = [str(binaries() / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", cluster.url("restored")]
    subprocess.run(command, input=dump, check=True, capture_output=True)
    return sqlalchemy.create_engine(cluster.url("restored").replace("postgresql:", "postgresql+psycopg:"))


def counted(connection: Connection, exact: bool) -> tuple[dict[str, int], int, int, int]:
    _, counts = daily_figures.status_counts(connection, EVER, exact)
    _, taken = daily_figures.fulfilment(connection, EVER, exact)
    users = user_revenue.ranking(connection, EVER, None, None, 100).users
    there = {str(status): count for status, count in counts.items() if count}
    delivered = sum(sum(day.histogram.values()) for day in taken)
    return there, delivered, len(users), sum(u.revenue_minor for u in users)


@pytest.mark.parametrize("ids", BEHIND.values(), ids=list(BEHIND))
def test_the_aggregates_are_exact_again_and_stay_so(world: World, cluster: Postgres, ids: int) -> None:
    bowl = world.product(price_minor=1000)
    user = world.user()
    world.place(user, {bowl.sku: 2})
    world.work_until_idle()
    world.fold()
    world.place(user, {bowl.sku: 1})  # not folded when the dump is made
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        for _ in range(ids):
            connection.execute("SELECT pg_current_xact_id()")
    engine = restore(cluster)
    with pytest.raises(UntrustedWatermark), engine.begin() as connection:
        rollups.fold(connection)
    with pytest.raises(errors.Unavailable), engine.begin() as connection:
        counted(connection, exact=True)
    with engine.connect() as connection:
        for _ in rebuild.rebuild(each_in_a_transaction(connection)):
            pass
    for _ in range(2):
        with engine.begin() as connection:
            expected = ({"pending": 1, "delivered": 1}, 1, 1, 2000)
            assert counted(connection, exact=False) == counted(connection, exact=True) == expected
            rollups.fold(connection)
    engine.dispose()


def test_the_page_names_the_command() -> None:
    assert "orders rollups rebuild" in OPERATIONS.read_text().partition("## Back up")[2].partition("\n## ")[0]
