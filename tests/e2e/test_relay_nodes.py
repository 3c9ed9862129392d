"""Relays as real nodes: one leads, another one takes over, and each says what it does."""

import json
import subprocess
import time
from typing import Any

import pytest
from pipeline_nodes import CELERY, Node, Pipeline, all_delivered, assert_every_order_went_the_whole_way_once, ready
from running_system import eventually
from world import World

pytestmark = pytest.mark.timeout(300)

TAKE_OVER_SECONDS = 2.0
LEADS = "this relay leads"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def leader(*relays: Node) -> Node | None:
    """The one that has said last that it leads."""
    since = {relay.lines(LEADS)[-1]["timestamp"]: relay for relay in relays if relay.lines(LEADS)}
    return since[max(since)] if since else None


def await_leader(*relays: Node) -> Node:
    eventually(lambda: leader(*relays), "a leader")
    found = leader(*relays)
    assert found is not None
    return found


def inspect(nodes: Pipeline, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [*CELERY, "inspect", "relay", "--json", *options],
        env=nodes.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    replies: dict[str, Any] = json.loads(done.stdout)
    return replies


def test_a_killed_leader_is_followed_within_two_seconds_and_nothing_is_lost(world: World, nodes: Pipeline) -> None:
    relays, worker = [nodes.start_relay("one", LEASE="3"), nodes.start_relay("two", LEASE="3")], nodes.start_worker()
    ready(*relays, worker)
    bowl, user = world.product(), world.user()
    for number in range(3):
        first = await_leader(*relays)
        for _ in range(50):
            world.place(user, {bowl.sku: 1})
        first.kill()
        killed_at = time.monotonic()
        relays.remove(first)
        while leader(*relays) is None:
            world.place(user, {bowl.sku: 1})
            assert time.monotonic() < killed_at + TAKE_OVER_SECONDS, "nobody has taken over"
        relays.append(nodes.start_relay(f"next{number}", LEASE="3"))
        ready(*relays)
    world.place(user, {bowl.sku: 1})
    eventually(lambda: all_delivered(world), "all orders delivered")
    assert_every_order_went_the_whole_way_once(world)


def test_a_relay_answers_celery_inspect(world: World, nodes: Pipeline) -> None:
    relays, worker = [nodes.start_relay("one"), nodes.start_relay("two")], nodes.start_worker()
    ready(*relays, worker)
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(120)])
    eventually(lambda: all_delivered(world), "all orders delivered")
    world.sql(
        "INSERT INTO outbox (kind, order_id, available_at)"
        " SELECT 'orders.later', gen_random_uuid(), now() + interval '1 hour' FROM generate_series(1, 3)"
    )
    first = await_leader(*relays)

    def facts() -> dict[str, Any]:
        answer: dict[str, Any] = inspect(nodes, "-d", f"{first.name}@test")[f"{first.name}@test"]
        return answer

    eventually(lambda: facts()["dispatched"] >= 480 and facts()["depth"] == 3, "what was dispatched")
    told = facts()
    assert (told["leads"], told["broker_reachable"], told["redispatched"], told["in_flight"]) == (True, True, 0, 0)
    assert 0 < told["messages"] < told["dispatched"], "many rows make few messages"
    assert told["lag_seconds"] == 0, "what is not due yet is not late"
    assert told["since"].startswith("20")
    [other] = {relay.name for relay in relays} - {first.name}
    assert inspect(nodes)[f"{other}@test"] == {"leads": False}
    [[said_by_standby]] = world.sql("SELECT facts FROM nodes WHERE name = :name", name=f"{other}@test")
    assert said_by_standby == {}, "it is there, and leaves the counting to the leader"
    assert inspect(nodes)["worker@test"] == {"error": "this node is no relay"}


def test_the_workers_log_names_the_requests_and_traces_that_a_batch_came_from(world: World, nodes: Pipeline) -> None:
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}, request_id=f"request-{number}") for number in range(30)])
    world.sql("UPDATE outbox SET traceparent = :traceparent", traceparent=TRACEPARENT)
    relay, worker = nodes.start_relay(), nodes.start_worker()
    ready(relay, worker)
    eventually(lambda: all_delivered(world), "all orders delivered")
    lines = worker.lines("batch done")
    for kind in ("orders.confirm", "orders.process", "orders.ship", "orders.deliver"):
        named = [name for line in lines if line["kind"] == kind for name in line["request_ids"]]
        assert sorted(named) == sorted(f"request-{number}" for number in range(30)), kind
        traces = [line["traceparents"] for line in lines if line["kind"] == kind]
        assert all(each == [TRACEPARENT] for each in traces), "each trace is named once a batch, all the way"


def test_a_relay_waits_longer_and_longer_for_a_lost_broker_and_begins_anew_when_it_is_back(
    world: World, nodes: Pipeline
) -> None:
    relay = nodes.start_relay()
    ready(relay)
    bowl, user = world.product(), world.user()

    def waits() -> list[float]:
        return [line["seconds"] for line in relay.lines("the broker is unreachable; work waits in the outbox")]

    nodes.kill_broker()
    world.place(user, {bowl.sku: 1})
    eventually(lambda: len(waits()) >= 5, "five attempts")
    assert waits()[:5] == [0.5, 1, 2, 4, 5]
    [[facts]] = world.sql("SELECT facts FROM nodes")
    assert facts["broker_reachable"] is False
    assert facts["lag_seconds"] > 1
    before = len(waits())
    nodes.start_broker()
    worker = nodes.start_worker()
    ready(worker)
    eventually(lambda: all_delivered(world), "delivery")
    nodes.kill_broker()
    world.place(user, {bowl.sku: 1})
    eventually(lambda: len(waits()) > before, "the next attempt")
    assert waits()[before] == 0.5
    assert not relay.lines("the relay stumbles and starts again")


def test_every_node_has_its_row_as_long_as_it_is_there(world: World, nodes: Pipeline) -> None:
    relay, worker, beat = nodes.start_relay(), nodes.start_worker(), nodes.start_beat()
    ready(relay, worker, beat)

    def rows() -> dict[str, Any]:
        return {row.role: row for row in world.sql("SELECT * FROM nodes WHERE beat_at > now() - interval '5 seconds'")}

    eventually(lambda: rows().keys() == {"relay", "worker", "beat"}, "three rows")
    eventually(lambda: rows()["relay"].leads_since and rows()["beat"].leads_since, "two leaders")
    assert {role: row.pid for role, row in rows().items()} == {
        "relay": relay.pid,
        "worker": worker.pid,
        "beat": beat.pid,
    }
    assert (rows()["worker"].name, rows()["worker"].leads_since) == ("worker@test", None)
    for node in (relay, worker, beat):
        node.child.ask_to_stop()
    eventually(lambda: world.sql("SELECT name FROM nodes") == [], "they have taken their leave")
