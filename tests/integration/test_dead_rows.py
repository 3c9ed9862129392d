"""What was done costs the relay nothing: its scan does not read past dead rows, however many no vacuum could remove.

Counted in buffers, with 50 000 dead rows that a transaction from before keeps from being vacuumed.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from explained import Plan, plans_of
from world import World

from models import outbox
from runtime import database
from runtime.database import Role
from workers.backlog_count import COUNT_SHARE, BacklogCount
from workers.presence import REPORT_SECONDS
from workers.relay import OVERLAP

DEAD_ROWS = 50_000
BUFFERS_MAX = 10


@pytest.fixture
def _dead_rows(world: World) -> Iterator[None]:
    # What the test before this one did a moment ago is dead, too, and recent enough for the quick scan.
    world.sql("TRUNCATE outbox")
    with database.transaction(Role.OWNER) as earlier:
        earlier.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        earlier.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        earlier.exec_driver_sql("SELECT count(*) FROM outbox")
        world.sql(
            "INSERT INTO outbox (kind, order_id, expected_version, available_at)"
            " SELECT 'orders.confirm', gen_random_uuid(), 1, now() - interval '1 second' * (n % 100 + 1)"
            f" FROM generate_series(1, {DEAD_ROWS}) AS n"
        )
        world.sql("DELETE FROM outbox")
        world.sql(
            "INSERT INTO outbox (kind, order_id, expected_version)"
            " SELECT 'orders.confirm', gen_random_uuid(), 1 FROM generate_series(1, 3)"
        )
        yield


def scan(lookback: timedelta | None) -> tuple[int, Plan]:
    """How many rows were found, and how."""
    with database.session() as connection:
        outbox.read_along_indexes(connection)
        rows, [plan] = plans_of(connection, outbox.due, lookback, [], 10_000)
        connection.invalidate()
    return len(rows), plan


@pytest.mark.usefixtures("_dead_rows")
def test_the_quick_scan_does_not_read_dead_rows(world: World) -> None:
    found, plan = scan(OVERLAP + timedelta(seconds=0.5))
    assert found == 3
    assert [each.index for each in plan.scans] == ["ix_outbox_available_at_id"]
    assert plan.buffers <= BUFFERS_MAX
    found, full = scan(None)
    assert found == 3
    assert full.buffers > 20 * BUFFERS_MAX, "the full scan has to, which is why it is made seldom"


@pytest.mark.usefixtures("_dead_rows")
def test_statistics_of_a_full_outbox_do_not_change_how_an_empty_one_is_read(world: World) -> None:
    world.sql("ANALYZE outbox")
    found, plan = scan(OVERLAP + timedelta(seconds=0.5))
    assert found == 3
    assert plan.buffers <= BUFFERS_MAX


class Stopwatch:
    """A clock that stands still, but for the seconds that each look at it takes."""

    def __init__(self, seconds_per_look: float) -> None:
        self.now, self._seconds_per_look = 0.0, seconds_per_look

    def __call__(self) -> float:
        self.now += self._seconds_per_look
        return self.now


@pytest.mark.usefixtures("_dead_rows")
def test_a_count_that_has_to_read_past_dead_rows_is_good_for_long(world: World) -> None:
    world.sql("UPDATE outbox SET available_at = now() - interval '1 minute'")
    stopwatch = Stopwatch(seconds_per_look=0.5)
    count = BacklogCount(stopwatch)
    with database.session() as connection:
        _, [plan] = plans_of(connection, outbox.backlog)
        assert plan.buffers > 20 * BUFFERS_MAX, "it reads past them all"
        first = count.facts(connection)
        assert (first["depth"], float(str(first["lag_seconds"])) > 50) == (3, True)
        world.sql("DELETE FROM outbox")
        rest = 0.5 / COUNT_SHARE
        stopwatch.now += rest - 1
        assert count.facts(connection) == first, "it took half a second, and so soon there is no other"
        stopwatch.now += 1
        assert (count.facts(connection)["depth"], count.facts(connection)["lag_seconds"]) == (0, 0)


def test_a_quick_count_is_made_whenever_the_relay_reports(world: World) -> None:
    world.product("CUP")
    stopwatch = Stopwatch(seconds_per_look=REPORT_SECONDS * COUNT_SHARE / 2)
    count = BacklogCount(stopwatch)
    depths = []
    with database.session() as connection:
        for _ in range(3):
            world.place(world.user(), {"CUP": 1})
            depths.append(count.facts(connection)["depth"])
            stopwatch.now += REPORT_SECONDS
    assert depths == [1, 2, 3]
