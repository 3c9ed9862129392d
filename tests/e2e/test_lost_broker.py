"""Workers and relays outlive their broker: killed with messages in hand, hanging with its sockets open, or long gone.

The worker is the same process before and after. Without `workers/redis_transport.py` it dies of about one kill in six.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pipeline_nodes import Pipeline, all_delivered, assert_every_order_went_the_whole_way_once, ready
from running_system import eventually
from world import World

from models.identity.users import User
from models.products import Product
from runtime import database

pytestmark = pytest.mark.timeout(400)

KILLS_UNDER_LOAD, KILLS_IN_HAND = 12, 3
LEASE_SECONDS = "2"


@contextmanager
def placing(world: World, user: User, product: Product) -> Iterator[None]:
    """Orders keep coming, as long as the block runs."""
    done = threading.Event()

    def place() -> None:
        while not done.is_set():
            world.place(user, {product.sku: 1})

    thread = threading.Thread(target=place)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def kill_and_start(nodes: Pipeline) -> None:
    nodes.kill_broker()
    time.sleep(0.3)
    nodes.start_broker()


def kill_under_load(world: World, nodes: Pipeline, user: User, product: Product) -> None:
    with placing(world, user, product):
        time.sleep(0.7)
        kill_and_start(nodes)
        time.sleep(0.3)


def kill_with_batches_in_hand(world: World, nodes: Pipeline, user: User, product: Product) -> None:
    """Both children wait for a lock, and the worker holds messages for which it has no child."""
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT 1 FROM products FOR UPDATE")
        for _ in range(8):
            world.place(user, {product.sku: 1})
            time.sleep(0.06)
        kill_and_start(nodes)


def test_a_worker_outlives_every_kill_of_its_broker_and_goes_on(world: World, nodes: Pipeline) -> None:
    relay, worker = nodes.start_relay(LEASE=LEASE_SECONDS), nodes.start_worker(LEASE=LEASE_SECONDS)
    ready(relay, worker)
    bowl, user = world.product(), world.user()
    for number in range(KILLS_UNDER_LOAD + KILLS_IN_HAND):
        kill = kill_with_batches_in_hand if number % 5 == 4 else kill_under_load
        kill(world, nodes, user, bowl)
        eventually(lambda: all_delivered(world) or not worker.is_alive, "all orders delivered", seconds=60)
        assert worker.is_alive, worker.log.read_text()[-4000:]
    assert relay.is_alive
    assert_every_order_went_the_whole_way_once(world)


def test_a_broker_that_hangs_with_its_sockets_open_stops_nobody_for_good(world: World, nodes: Pipeline) -> None:
    relay, worker = nodes.start_relay(LEASE=LEASE_SECONDS), nodes.start_worker(LEASE=LEASE_SECONDS)
    ready(relay, worker)
    bowl, user = world.product(), world.user()
    for _ in range(2):
        os.kill(nodes.broker_pid, signal.SIGSTOP)
        for _ in range(20):
            world.place(user, {bowl.sku: 1})
        time.sleep(8)
        os.kill(nodes.broker_pid, signal.SIGCONT)
        eventually(lambda: all_delivered(world), "all orders delivered")
    assert worker.is_alive and relay.is_alive
    assert_every_order_went_the_whole_way_once(world)


def test_who_tries_to_reach_a_lost_broker_is_alive_and_works_soon_after_it_is_back(
    world: World, nodes: Pipeline
) -> None:
    relay, worker = nodes.start_relay(LEASE=LEASE_SECONDS), nodes.start_worker(LEASE=LEASE_SECONDS)
    ready(relay, worker)
    bowl, user = world.product(), world.user()
    nodes.kill_broker()
    oldest = 0.0
    gone_at = time.monotonic()
    while time.monotonic() < gone_at + 15:
        oldest = max(oldest, worker.heartbeat_age, relay.heartbeat_age)
        time.sleep(0.1)
    assert oldest < 10, "the files say that both live"
    assert world.sql("SELECT count(*) FROM nodes WHERE beat_at > now() - interval '10 seconds'") == [(2,)]
    world.place(user, {bowl.sku: 1})
    nodes.start_broker()
    eventually(lambda: all_delivered(world), "delivery", seconds=15)
