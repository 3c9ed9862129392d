"""How PostgreSQL finds what a sweep looks for: by the index that its statement says it leans on.

Most tables are empty here, and to read all of one and sort it would be right; so that is made dear. A sweep that says
for itself how it wants its tables read gets some with rows in them, of which hardly any is what it looks for.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event
from world import World

from models import expiry, redispatch, retention, stuck
from models.lifecycle import Policy
from models.retention import RULES
from runtime import database
from runtime.database import Role
from runtime.settings import Confirmation

LEANS_ON = {
    "idempotency_keys": "ix_idempotency_keys_expires_at",
    "transition_requests": "pk_transition_requests",
    "dead_letters": "pk_dead_letters",
    "refresh_tokens": "ix_refresh_tokens_expires_at",
    "sessions": "ix_sessions_ends_at",
    "revocations": "ix_revocations_at",
}


ORDERS_IN_TIME = """
    INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
        due_at, updated_at)
    SELECT uuidv7(), to_hex(n), :user, 'confirmed', 2, 'EUR', 1, '{}', now(), current_date, now() + interval '1 hour',
        now()
    FROM generate_series(1, 20000) AS n
"""
REQUESTS_APPLIED = """
    INSERT INTO transition_requests (id, order_id, to_status, actor, requested_by, state, created_at, resolved_at)
    SELECT uuidv7(), id, 'cancelled', 'owner', :user, 'applied', now() - interval '1 hour', now() FROM orders
"""


def plans(verb: Callable[[Connection], object]) -> list[list[dict[str, Any]]]:
    """The nodes of the plan of each statement that the verb sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    with database.transaction(Role.OWNER) as connection:
        for way in ("seqscan", "bitmapscan", "sort"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        event.listen(connection, "before_cursor_execute", note)
        verb(connection)
        event.remove(connection, "before_cursor_execute", note)
        return [nodes(connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {each}", values)) for each, values in sent]


def nodes(result: Any) -> list[dict[str, Any]]:
    [[[document]]] = result
    found, ahead = [], [document["Plan"]]
    while ahead:
        node = ahead.pop()
        found.append(node)
        ahead += node.get("Plans", ())
    return found


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in plan if "Index Name" in node}


def test_every_rule_is_looked_at() -> None:
    assert LEANS_ON.keys() == RULES.keys()


@pytest.mark.parametrize("table", sorted(RULES))
def test_what_is_old_is_found_by_an_index_and_deleted_by_its_place(world: World, table: str) -> None:
    [plan] = plans(lambda connection: retention.forget(connection, table))
    assert indexes(plan) == {LEANS_ON[table]}
    assert "Tid Scan" in {node["Node Type"] for node in plan}
    assert "Sort" not in {node["Node Type"] for node in plan}, "it stops at the limit"


def test_requests_are_read_no_further_than_their_age(world: World) -> None:
    [plan] = plans(lambda connection: retention.forget(connection, "transition_requests"))
    assert [node["Index Cond"] for node in plan if "Index Cond" in node] == ["(id < (InitPlan 1).col1)"]


def test_stuck_and_overdue_orders_are_found_by_their_deadline(world: World) -> None:
    [plan] = plans(stuck.stuck)
    assert indexes(plan) == {"ix_orders_due_at"}
    overdue, *_ = plans(lambda connection: expiry.expire(connection, Policy(Confirmation.MANUAL)))
    assert indexes(overdue) == {"ix_orders_due_at"}


def much_that_is_in_order(world: World) -> None:
    """Orders that are in time, and requests that were applied."""
    user = world.user()
    world.sql(ORDERS_IN_TIME, user=user.id)
    world.sql(REQUESTS_APPLIED, user=user.id)
    world.sql("ANALYZE orders, transition_requests")


def test_lost_work_is_found_by_its_age_and_never_row_by_row(world: World) -> None:
    much_that_is_in_order(world)
    _, moves, transitions, recalled = plans(lambda connection: redispatch.redispatch(connection, Policy()))
    assert "ix_orders_due_at" in indexes(moves)
    assert "ix_transition_requests_created_at" in indexes(transitions)
    assert "ix_outbox_available_at_id" in indexes(recalled)
    for plan in (moves, transitions):
        loops = [node for node in plan if node["Node Type"] == "Nested Loop"]
        assert not loops, "with many rows on both sides it would never end"
