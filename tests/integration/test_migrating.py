"""`orders migrate` where somebody else migrates, and what its connections allow themselves."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg
import pytest
from running_system import eventually
from sqlalchemy import text

from models import migrations
from ops import migrate
from runtime import database, settings


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    """Another `orders migrate`, as far as one can tell from outside."""
    url = settings.current().database_url.get_secret_value()
    with psycopg.connect(url, autocommit=True, application_name="another") as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [migrate.ADVISORY_LOCK])
        yield connection


def test_s29_who_waits_for_another_migration_in_vain_is_told_who_it_is_and_what_to_do(
    other: psycopg.Connection,
) -> None:
    command = [sys.executable, "-m", "ops", "migrate", "--wait", "0.3"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done
    assert "we waited for 0.3 s" in done.stderr
    assert f"as process {other.info.backend_pid} of the database" in done.stderr
    assert f"connected as {other.info.user}" in done.stderr
    assert f"SELECT pg_terminate_backend({other.info.backend_pid})" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, "one paragraph"
    assert done.stdout == ""


def test_who_waits_long_enough_for_another_migration_finds_nothing_to_do(other: psycopg.Connection) -> None:
    said: list[str] = []
    migrating = threading.Thread(target=migrate.run, args=(settings.current(), said.append))
    migrating.start()
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
    eventually(lambda: other.execute(waiting, [migrate.ADVISORY_LOCK]).fetchone(), "that it waits")
    other.execute("SELECT pg_advisory_unlock(%s)", [migrate.ADVISORY_LOCK])
    migrating.join(30)
    assert said == [f"the schema is at {migrations.head()} already"]


def test_s29_a_migration_notices_a_server_that_is_gone_and_has_all_the_time_it_needs_itself() -> None:
    """Also where the database or the login has a limit of its own, as many a hosted one has."""
    with psycopg.connect(settings.current().database_url.get_secret_value(), autocommit=True) as administrator:
        administrator.execute(f'ALTER DATABASE "{administrator.info.dbname}" SET statement_timeout = 12345'.encode())
        try:
            with database.migrating_engine(settings.current()).connect() as connection:
                assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
                given = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
        finally:
            administrator.execute(f'ALTER DATABASE "{administrator.info.dbname}" RESET statement_timeout'.encode())
    assert given["connect_timeout"] == str(database.CONNECT_TIMEOUT_SECONDS)
    assert {name: int(given[name]) for name in database.NOTICED_WHEN_GONE} == database.NOTICED_WHEN_GONE
