"""GET /v1/ops/pipeline: what people on call see in one look."""

from dataclasses import replace
from typing import Any

import pytest
from api_client import Client, Shop, assert_problem
from explained import plans_of

from models import nodes, pipeline
from models.nodes import Node, NodeRole
from models.outbox import COUNTED_MAX
from runtime import clock, database
from runtime.database import Role as DatabaseRole

PIPELINE = "/v1/ops/pipeline"
RELAY = Node("relay@here", NodeRole.RELAY, 1, "here", clock.now(), clock.now(), {"broker_reachable": True})
WORKER = Node("worker@here", NodeRole.WORKER, 2, "here", clock.now())
BEAT = Node("beat-3@here", NodeRole.BEAT, 3, "here", clock.now(), clock.now())


def report(*present: Node) -> None:
    with database.transaction() as connection:
        for node in present:
            nodes.report(connection, node)


def look(client: Client) -> Any:
    response = client.get(PIPELINE)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture(autouse=True)
def _all_is_well(shop: Shop) -> None:
    report(RELAY, WORKER, BEAT)
    shop.world.fold()


def test_where_all_is_well_there_is_nothing_to_look_at(as_staff: Client) -> None:
    seen = look(as_staff)
    assert (seen["status"], seen["problems"]) == ("ok", [])
    assert seen["outbox"] == {"depth": 0, "lag_seconds": 0, "kinds": []}
    assert seen["relay"]["leader"]["name"] == RELAY.name
    assert 0 <= seen["relay"]["leader"]["beat_age_seconds"] < 10
    assert seen["workers"] == {"alive": 1}
    assert (seen["stuck_orders"], seen["dead_letters"]) == (0, 0)
    assert seen["rollups"]["lag_seconds"] < 60


def test_what_waits_is_counted_by_kind_with_the_age_of_the_oldest(shop: Shop, as_staff: Client) -> None:
    shop.world.sql(
        "INSERT INTO outbox (kind, order_id, available_at) SELECT kind, gen_random_uuid(), now() + after"
        " FROM (VALUES ('orders.confirm', interval '-10 seconds'), ('orders.confirm', interval '0'),"
        " ('orders.ship', interval '1 hour')) AS row (kind, after)"
    )
    waiting = look(as_staff)["outbox"]
    assert waiting["depth"] == 3
    assert 10 <= waiting["lag_seconds"] < 40
    confirm, ship = waiting["kinds"]
    assert (confirm["kind"], confirm["depth"], confirm["due"]) == ("orders.confirm", 2, 2)
    assert confirm["lag_seconds"] == waiting["lag_seconds"]
    assert ship == {"kind": "orders.ship", "depth": 1, "due": 0, "lag_seconds": 0}


BROKEN = {
    "no_relay": "UPDATE nodes SET leads_since = NULL WHERE role = 'relay'",
    "no_worker": "UPDATE nodes SET beat_at = now() - interval '16 seconds' WHERE role = 'worker'",
    "no_beat": "DELETE FROM nodes WHERE role = 'beat'",
    "broker_unreachable": """UPDATE nodes SET facts = '{"broker_reachable": false}' WHERE role = 'relay'""",
    "outbox_lags": "INSERT INTO outbox (kind, available_at) VALUES ('x', now() - interval '61 seconds')",
    "rollups_lag": "UPDATE rollup_state SET as_of = now() - interval '61 seconds'",
    "dead_letters": "INSERT INTO dead_letters (kind, error, attempts, first_at, last_at)"
    " VALUES ('x', '', 8, now(), now())",
}


@pytest.mark.parametrize("problem", BROKEN)
def test_each_problem_is_named(shop: Shop, as_staff: Client, problem: str) -> None:
    shop.world.sql(BROKEN[problem])
    seen = look(as_staff)
    assert (seen["status"], seen["problems"]) == ("degraded", [problem])


def test_stuck_orders_are_a_problem(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    as_customer.order()
    as_customer.order()
    shop.world.sql("UPDATE orders SET due_at = now() - interval '1 minute'")
    seen = look(as_staff)
    assert seen["stuck_orders"] == 2
    assert seen["problems"] == ["stuck_orders"]


def test_of_two_that_claim_the_lead_the_later_one_has_it(as_staff: Client) -> None:
    report(replace(RELAY, name="relay@there", leads_since=clock.now(), facts={"broker_reachable": True}))
    report(replace(RELAY, name="relay@elsewhere", leads_since=None, facts={}))
    seen = look(as_staff)
    assert (seen["relay"]["alive"], seen["relay"]["leader"]["name"]) == (3, "relay@there")


def test_counts_are_bounded_and_use_indexes(shop: Shop, as_staff: Client) -> None:
    shop.world.sql(
        "INSERT INTO outbox (kind, order_id) SELECT 'orders.confirm', gen_random_uuid()"
        f" FROM generate_series(1, {COUNTED_MAX + 500})"
    )
    user = shop.world.user()
    shop.world.sql(
        "INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, placed_on, metadata,"
        " placed_at, updated_at)"
        " SELECT gen_random_uuid(), '', :user, 'delivered', 5, 'EUR', 1, current_date, '{}', now(), now()"
        " FROM generate_series(1, 20000)",
        user=user.id,
    )
    shop.world.sql("ANALYZE orders")
    assert look(as_staff)["outbox"]["depth"] == COUNTED_MAX
    with database.transaction(DatabaseRole.API) as connection:
        _, plans = plans_of(connection, pipeline.look)
    scans = [scan for plan in plans for scan in plan.scans if scan.table == "orders"]
    assert [(scan.index, scan.rows + scan.removed) for scan in scans] == [("ix_orders_due_at", 0)]


def test_customers_and_analysts_see_nothing_of_it(
    as_customer: Client, as_analyst: Client, as_staff: Client, as_admin: Client
) -> None:
    for client in (as_customer, as_analyst):
        assert_problem(client.get(PIPELINE), 403, "forbidden")
    for client in (as_staff, as_admin):
        assert client.get(PIPELINE).status_code == 200


def test_an_unknown_parameter_is_refused(as_staff: Client) -> None:
    assert_problem(as_staff.get(f"{PIPELINE}?verbose=1"), 400, "unknown_query_parameter")


def test_what_the_timetable_has_long_not_got_is_named(shop: Shop, as_staff: Client) -> None:
    shop.world.sql(
        "INSERT INTO schedule_state (entry, period, last_success_at) VALUES"
        " ('upkeep.redispatch', interval '1 minute', now() - interval '4 minutes'),"
        " ('orders.expire', interval '30 seconds', now() - interval '31 seconds')"
    )
    seen = look(as_staff)
    assert (seen["status"], seen["problems"]) == ("degraded", ["timetable_overdue"])
    assert seen["overdue"] == ["upkeep.redispatch"]
