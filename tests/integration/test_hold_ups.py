"""Whoever holds the fold back is named: to people on call, and in the log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy
from log_lines import log_of_task
from sqlalchemy import text
from world import World

from models import pipeline
from models.analytics import hold_ups
from models.analytics.hold_ups import HoldUp
from runtime import database, settings
from runtime.database import Role

NEIGHBOURS_SECONDS = 60
LATE = "UPDATE rollup_state SET as_of = now() - interval '11 seconds'"


@contextmanager
def superuser(**options: Any) -> Iterator[psycopg.Connection]:
    with psycopg.connect(settings.current().database_url.get_secret_value(), **options) as connection:
        yield connection


def holding_back() -> HoldUp | None:
    """As the API sees it."""
    with database.transaction(Role.API) as connection:
        return hold_ups.holding_back(connection)


def held_back_by(pid: int, look: Callable[[], HoldUp | None] = holding_back) -> HoldUp:
    """This session, as soon as no neighbouring test process has an older transaction: they share the server."""
    deadline = time.monotonic() + NEIGHBOURS_SECONDS
    while (found := look()) is None or found.pid != pid:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_a_session_is_named_with_what_the_api_may_know_of_it(world: World) -> None:
    with superuser(application_name="forgotten report") as slow:
        slow.execute("SELECT pg_current_xact_id()")
        pid = slow.info.backend_pid
        assert holding_back() is None, "nobody is late yet"
        world.sql(LATE)
        found = held_back_by(pid)
        assert found.prepared is None
        assert (found.user, found.application) == ("postgres", "forgotten report")
        assert found.database == slow.info.dbname
        with database.transaction(Role.API) as connection:
            assert pipeline.look(connection).rollups.held_back_by is not None
        [line] = log_of_task("rollups.report-held-back")
        assert (line["event"], line["level"]) == ("a transaction holds the rollups back", "warning")
        assert (line["pid"], line["application"]) == (pid, "forgotten report")
        slow.rollback()
    other = holding_back()
    assert other is None or other.pid != pid


def test_since_when_is_the_moment_up_to_which_everything_is_folded(world: World) -> None:
    with superuser() as slow:
        slow.execute("SELECT pg_current_xact_id()")
        world.sql(LATE)
        found = holding_back()
    assert found is not None
    assert timedelta(seconds=10) < datetime.now(UTC) - found.since < timedelta(seconds=40)


def test_who_may_see_statistics_is_told_when_the_transaction_began(world: World) -> None:
    onlooker = sqlalchemy.create_engine(settings.current().sqlalchemy_url, poolclass=sqlalchemy.NullPool)

    def look() -> HoldUp | None:
        with onlooker.begin() as connection:
            return hold_ups.holding_back(connection)

    with superuser() as slow:
        began = slow.execute("SELECT now(), pg_current_xact_id()").fetchall()[0][0]
        world.sql(LATE)
        assert held_back_by(slow.info.backend_pid, look).since == began


def test_readers_hold_nothing_back(world: World) -> None:
    with database.transaction(Role.API) as reader:
        reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        reader.execute(text("SELECT 1 FROM orders"))
        pid = reader.execute(text("SELECT pg_backend_pid()")).scalar_one()
        world.sql(LATE)
        found = holding_back()
    assert found is None or found.pid != pid


def test_nobody_is_named_where_the_fold_does_not_come(world: World) -> None:
    world.sql("UPDATE rollup_state SET as_of = now() - interval '1 hour'")
    found = holding_back()
    # The neighbouring test process works on the same server: its transactions last for milliseconds.
    assert found is None or found.database != settings.current().database_url.get_secret_value().rpartition("/")[2]


@pytest.fixture
def problems(world: World) -> Any:
    def of() -> list[str]:
        with database.transaction(Role.API) as connection:
            return [str(each) for each in pipeline.look(connection).problems if each.startswith("rollups")]

    return of


def test_drift_and_a_foreign_watermark_are_problems(world: World, problems: Any) -> None:
    assert problems() == []
    world.sql("UPDATE rollup_state SET drift = 2")
    assert problems() == ["rollups_drift"]
    world.sql("UPDATE rollup_state SET cluster = 1, drift = 0")
    assert problems() == ["rollups_untrusted"]
