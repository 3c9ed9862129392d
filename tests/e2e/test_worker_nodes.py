"""Workers as real nodes: how one ends, how its children are replaced, and what its heartbeat proves."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from celery import Celery
from pipeline_nodes import Node, Pipeline, all_delivered, assert_every_order_went_the_whole_way_once, ready
from running_system import eventually
from world import World

from runtime import database, settings

pytestmark = [pytest.mark.xdist_group("whole system"), pytest.mark.timeout(300)]

# `worker_soft_shutdown_timeout` is 5 s; docker-compose.yml waits for 30.
SHUTDOWN_SECONDS = 20


def place_apart(world: World, count: int) -> None:
    """Orders that arrive one after the other, so that they become several messages."""
    bowl, user = world.product(), world.user()
    for _ in range(count):
        world.place(user, {bowl.sku: 1})
        time.sleep(0.05)


def goes_when_asked(node: Node) -> bool:
    """As every supervisor does it: asked first, and killed when it does not go. Celery's shutdown has been seen to wait
    for one of its children for ever; what must hold is that nothing is lost by that either."""
    node.child.ask_to_stop()
    try:
        eventually(lambda: not node.is_alive, f"the end of {node.name}", SHUTDOWN_SECONDS)
    except AssertionError:
        node.child.kill()
        return False
    return True


def test_a_worker_that_is_asked_to_stop_finishes_what_it_has_and_gives_back_the_rest(
    world: World, nodes: Pipeline
) -> None:
    relay, worker = nodes.start_relay(LEASE="120"), nodes.start_worker()
    ready(relay, worker)
    bowl, user = world.product(), world.user()
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT 1 FROM products FOR UPDATE")
        for _ in range(6):  # two in work, two fetched ahead, two in the queue
            world.place(user, {bowl.sku: 1})
            time.sleep(0.2)
        worker.child.ask_to_stop()
        time.sleep(2)
        assert worker.is_alive, "it waits for the batches that are in work"
    eventually(lambda: not worker.is_alive, "the end of the worker", SHUTDOWN_SECONDS)
    assert worker.child.exit_code == 0
    assert world.sql("SELECT count(*) FROM orders WHERE status = 'pending'") == [(4,)], "what was in work is done"
    other = nodes.start_worker("other")
    ready(other)
    eventually(lambda: all_delivered(world), "the rest, by another worker, long before any lease is over")
    assert_every_order_went_the_whole_way_once(world)


@contextmanager
def heard_events(nodes: Pipeline) -> Iterator[list[dict[str, Any]]]:
    """What Flower hears as long as the block lasts."""
    heard: list[dict[str, Any]] = []
    app = Celery(broker=nodes.broker_url)
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, {"*": heard.append})
        listening = threading.Thread(target=receiver.capture)
        listening.start()
        try:
            yield heard
        finally:
            receiver.should_stop = True
            listening.join(10)


def tasks_in(heard: list[dict[str, Any]], event: str) -> set[str]:
    return {each["uuid"] for each in heard if each["type"] == event}


def test_events_of_tasks_gather_and_none_is_lost(world: World, nodes: Pipeline) -> None:
    ready(nodes.start_relay(), nodes.start_worker())
    with heard_events(nodes) as heard:
        eventually(lambda: bool(heard), "that somebody listens")
        place_apart(world, 1)
        eventually(lambda: len(tasks_in(heard, "task-succeeded")) == 4, "an order takes four steps")
        assert tasks_in(heard, "task-received") == tasks_in(heard, "task-succeeded")


def test_workers_that_are_stopped_in_the_middle_of_everything_lose_nothing(world: World, nodes: Pipeline) -> None:
    relay = nodes.start_relay(LEASE="3")
    bowl, user = world.product(), world.user()
    went = []
    for number in range(3):
        worker = nodes.start_worker(f"worker{number}", LEASE="3")
        ready(relay, worker)
        world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(1000)])
        eventually(lambda: world.sql("SELECT count(*) FROM orders WHERE status <> 'pending'")[0][0] > 0, "work begins")
        went.append(goes_when_asked(worker))
    assert went.count(False) <= 1, "a shutdown that hangs is the exception"
    last = nodes.start_worker("last", LEASE="3")
    ready(last)
    eventually(lambda: all_delivered(world), "all orders delivered", seconds=60)
    assert_every_order_went_the_whole_way_once(world)


def test_children_are_replaced_and_each_has_connections_of_its_own(world: World, nodes: Pipeline) -> None:
    relay, worker = nodes.start_relay(), nodes.start_worker("worker", "--max-tasks-per-child", "8")
    ready(relay, worker)
    seen = set(worker.children)
    bowl, user = world.product(), world.user()
    for _ in range(20):
        world.place(user, {bowl.sku: 1})
        time.sleep(0.1)
        seen.update(worker.children)
    eventually(lambda: all_delivered(world), "all orders delivered")
    seen.update(worker.children)
    assert len(seen) >= 5, "children were replaced"
    assert_every_order_went_the_whole_way_once(world)
    assert {line["event"] for line in worker.lines() if line["level"] in ("error", "critical")} == set()
    [[pid, beaten]] = world.sql("SELECT pid, beat_at > now() - interval '6 seconds' FROM nodes WHERE role = 'worker'")
    assert (pid, beaten) == (worker.pid, True), "and the connection of the main process, that they inherit, is unharmed"


def test_a_worker_whose_loop_hangs_falls_silent_though_its_process_lives(world: World, nodes: Pipeline) -> None:
    """A pool without processes works in the consumer's own loop, so that work which waits for a lock holds it up."""
    relay, worker = nodes.start_relay(LEASE="60"), nodes.start_worker("worker", "-P", "solo")
    ready(relay, worker)
    bowl, user = world.product(), world.user()

    def row_age() -> float:
        [[age]] = world.sql("SELECT extract(epoch FROM now() - max(beat_at)) FROM nodes WHERE role = 'worker'")
        return math.inf if age is None else float(age)

    eventually(lambda: row_age() < 2, "the row")
    with database.transaction() as connection:
        connection.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql("SELECT 1 FROM products FOR UPDATE")
        world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(4)])
        eventually(lambda: worker.heartbeat_age > 6, "a file that nobody touches", seconds=15)
        eventually(lambda: row_age() > 6, "a row that nobody writes", seconds=40)
        assert worker.is_alive
        connection.exec_driver_sql("RESET idle_in_transaction_session_timeout")
    eventually(lambda: worker.heartbeat_age < 3 and row_age() < 5, "the beat", seconds=60)
    eventually(lambda: all_delivered(world), "delivery", seconds=60)


@contextmanager
def database_closed() -> Iterator[None]:
    """Nobody is let into the test's database, and who was in it is thrown out."""
    url = settings.current().database_url.get_secret_value()
    with psycopg.connect(url) as connection:
        name = connection.info.dbname
    with psycopg.connect(url.replace(name, "postgres"), autocommit=True) as administrator:
        administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_a_lost_database_kills_no_node_and_all_go_on_when_it_is_back(world: World, nodes: Pipeline) -> None:
    started = (nodes.start_relay(LEASE="3"), nodes.start_worker(LEASE="3"), nodes.start_beat())
    ready(*started)
    place_apart(world, 5)
    with database_closed():
        time.sleep(8)
        assert all(node.heartbeat_age < 7 for node in started)
    place_apart(world, 5)
    eventually(lambda: all_delivered(world), "all orders delivered", seconds=60)
    assert all(node.is_alive for node in started)
    eventually(
        lambda: world.sql("SELECT count(*) FROM nodes WHERE beat_at > now() - interval '5 seconds'") == [(3,)],
        "every node says that it is there",
    )
    assert_every_order_went_the_whole_way_once(world)
