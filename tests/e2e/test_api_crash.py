"""G1 and G2 where it hurts: API processes killed while they write, or stopped under load, and clients who insist."""

import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
from running_system import RunningSystem, eventually

from runtime import shutdown

# The supervisor waits up to 5 s before it starts again what keeps dying: that, not the clients, sets the pace.
# `KILLS=200 make test ARGS="tests/e2e/test_api_crash.py"` takes a quarter of an hour.
KILLS = int(os.environ.get("KILLS", "18"))
IN_FLIGHT = 24
CLIENTS = 8
PATIENCE_SECONDS = 40
pytestmark = pytest.mark.timeout(200 + 10 * KILLS)
BODY = json.dumps({"items": [{"sku": "BOWL-OAK", "quantity": 1}, {"sku": "CUP-ENAMEL", "quantity": 2}]})


@dataclass
class Story:
    """What a client saw of one key, until it had its answer."""

    key: str
    cut_off: int = 0
    replayed: bool = False
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: set[bytes] = field(default_factory=set)


class Shopper:
    """A client that does not give up: it asks again with the same key until it gets a 2xx."""

    def __init__(self, system: RunningSystem) -> None:
        address = urlsplit(system.api)
        assert address.hostname
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        with system.client("customer") as client:
            self._token = client.headers["Authorization"]

    def close(self) -> None:
        self._connection.close()

    def insist(self, story: Story) -> Story:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._try(story):
            assert time.monotonic() < deadline, f"no answer: {story}"
            time.sleep(0.05)
        return story

    def _try(self, story: Story) -> bool:
        """One request; whether it was answered with a 2xx."""
        try:
            self._connection.connect()
        except OSError:  # Nobody listens at this moment, so nothing was sent.
            return False
        headers = {"Authorization": self._token, "Idempotency-Key": story.key, "Content-Type": "application/json"}
        with closing(self._connection):
            try:
                self._connection.request("POST", "/v1/orders", BODY, headers)
                response = self._connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                story.cut_off += 1
                return False
        story.statuses[response.status] += 1
        if response.status == 201:
            story.bodies.add(body)
            story.replayed |= "Idempotent-Replayed" in response.headers
        return response.status == 201


def api_processes(system: RunningSystem) -> list[psutil.Process]:
    """Those that run now: children of the system that was started for these tests, and of nobody else."""
    found = []
    for child in psutil.Process(system.process.pid).children():
        with suppress(psutil.Error):
            if "serve" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def listens(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(connection.status == psutil.CONN_LISTEN for connection in process.net_connections("tcp"))
    return False


def listeners(system: RunningSystem) -> list[psutil.Process]:
    """The API processes that take requests now, as soon as there is one."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = filter(listens, api_processes(system))
        return bool(found)

    eventually(look, "an API process")
    return found


def all_listen(system: RunningSystem) -> bool:
    processes = api_processes(system)
    return len(processes) == 2 and all(map(listens, processes))


def assert_one_order_per_key(system: RunningSystem, stories: list[Story]) -> None:
    assert all(len(story.bodies) == 1 for story in stories), "every 2xx to a key is byte-identical"
    answered = {(story.key, json.loads(next(iter(story.bodies)))["id"]) for story in stories}
    kept = system.sql(
        "SELECT key, order_id::text, convert_from(body, 'UTF8')::json ->> 'id' FROM idempotency_keys"
        " WHERE route = 'POST /v1/orders' AND status = 201"
    )
    mine = {story.key for story in stories}
    assert {(key, order) for key, order, _ in kept if key in mine} == answered
    assert all(order == in_body for _, order, in_body in kept)
    orders = [order for [order] in system.sql("SELECT id::text FROM orders")]
    assert sorted(orders) == sorted(order for _, order, _ in kept), "no order without a key, no key without an order"


def assert_all_are_delivered_in_five_events(system: RunningSystem, stories: list[Story]) -> None:
    def undelivered() -> int:
        return int(system.sql("SELECT count(*) FROM orders WHERE status <> 'delivered'")[0][0])

    eventually(lambda: undelivered() == 0, "all orders delivered", seconds=90)
    counts = dict(system.sql("SELECT order_id::text, count(*) FROM order_events GROUP BY 1"))
    assert {counts[json.loads(next(iter(story.bodies)))["id"]] for story in stories} == {5}


def test_g1_g2_an_api_killed_in_the_middle_of_requests_makes_one_order_per_key(system: RunningSystem) -> None:
    dice = random.Random(1)  # noqa: S311
    shoppers = [Shopper(system) for _ in range(IN_FLIGHT)]
    stories: list[Story] = []
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        for _ in range(KILLS):
            victim = dice.choice(listeners(system))
            asked = [Story(str(uuid4())) for _ in shoppers]
            running = [threads.submit(shopper.insist, story) for shopper, story in zip(shoppers, asked, strict=True)]
            time.sleep(dice.uniform(0.002, 0.03))  # some are being read, some are committing, some are being answered
            victim.kill()
            victim.wait(10)  # or it might be chosen once more
            stories += [each.result() for each in running]
        for shopper, story in zip(shoppers * KILLS, stories, strict=True):
            shopper.insist(story)  # once more, for the replay
    assert sum(story.cut_off for story in stories) >= KILLS * IN_FLIGHT / 4, "the kills came in the middle"
    assert {status for story in stories for status in story.statuses} <= {201, 503}
    assert_one_order_per_key(system, stories)
    assert_all_are_delivered_in_five_events(system, stories)


def shop_until(stop: threading.Event, system: RunningSystem) -> list[Story]:
    shopper, stories = Shopper(system), []
    while not stop.is_set():
        stories.append(shopper.insist(Story(str(uuid4()))))
        time.sleep(0.01)
    return stories


def test_an_api_that_is_asked_to_stop_under_load_answers_what_it_took_and_goes(system: RunningSystem) -> None:
    eventually(lambda: all_listen(system), "both API processes")
    stop, stopped = threading.Event(), []
    with ThreadPoolExecutor(CLIENTS) as threads:
        shopping = [threads.submit(shop_until, stop, system) for _ in range(CLIENTS)]
        try:
            for process in api_processes(system):
                time.sleep(1)
                stopped.append(process.pid)
                process.terminate()
                process.wait(shutdown.API_SECONDS)
                eventually(lambda: all_listen(system), "a new one in its place")
        finally:
            stop.set()
        stories = [story for each in shopping for story in each.result()]
    assert len(stories) > 10 * CLIENTS
    assert not any(story.replayed for story in stories), "a request that was taken and not answered"
    assert {status for story in stories for status in story.statuses} <= {201, 503}
    log = (system.data / "log" / "orders.log").read_text()
    assert all(f"(process {pid}) died: exit 0" in log for pid in stopped), "each ended by itself, in good order"
    assert_one_order_per_key(system, stories)
    assert_all_are_delivered_in_five_events(system, stories)
