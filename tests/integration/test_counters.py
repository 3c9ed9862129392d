"""The counters that processes share, while their broker is killed, frozen and started again (S6). It is a real one."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.identity.counters import AWAY_SECONDS, Counters, LocalCounters
from ops.local import engines
from ops.processes import ports
from ops.processes.children import Child
from runtime import settings

# What a request may have waited for a broker that does not answer, on a machine that has other things to do.
PATIENT_SECONDS = 5.0


class Broker:
    def __init__(self, directory: Path) -> None:
        self.valkey = engines.Valkey(directory, ports.free())
        self.child: Child | None = None
        self.start()

    def start(self) -> None:
        self.child = engines.start(self.valkey)

    def kill(self) -> None:
        assert self.child
        self.child.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.child
        os.kill(self.child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.child.pid, signal.SIGCONT)

    def counters(self) -> Counters:
        return Counters(settings.read({**os.environ, "BROKER_URL": self.valkey.url}))


@pytest.fixture
def broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="orders-counters-") as directory:
        started = Broker(Path(directory))
        yield started
        started.kill()


def run(play: Callable[[Counters, Counters], Awaitable[None]], broker: Broker) -> None:
    """Play with the counters of two processes."""

    async def both() -> None:
        here, there = broker.counters(), broker.counters()
        await play(here, there)
        await here.close()
        await there.close()

    asyncio.run(both())


async def back_together(counters: Counters) -> None:
    deadline = time.monotonic() + 30
    while not counters.is_shared:
        assert time.monotonic() < deadline
        await asyncio.sleep(AWAY_SECONDS / 5)
        await counters.count("anything")


def test_s5_two_processes_count_together(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        assert [await here.add("ada", 60), await there.add("ada", 60), await here.add("ada", 60)] == [1, 2, 3]
        assert await there.count("ada") == 3
        assert 0 < await there.seconds_left("ada") <= 60
        await there.forget("ada")
        assert await here.count("ada") == 0

    run(play, broker)


def test_s5_of_many_at_once_none_is_counted_twice_or_not_at_all(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        counts = await asyncio.gather(*(each.add("ada", 60) for each in [here, there] * 30))
        assert here.is_shared and there.is_shared, "this machine is too busy to show it"
        assert sorted(counts) == list(range(1, 61))

    run(play, broker)


def test_s5_a_count_is_forgotten_when_its_time_is_over(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        assert await here.add("ada", 1) == 1
        deadline = time.monotonic() + 10
        while await there.count("ada"):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert await there.add("ada", 60) == 1

    run(play, broker)


def test_s6_with_the_broker_killed_this_process_goes_on_counting_where_it_was(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        for number in range(1, 6):
            assert await here.add("ada", 60) == number
        broker.kill()
        assert await here.add("ada", 60) == 6
        assert not here.is_shared
        assert [await here.add("ada", 60) for _ in range(100)] == list(range(7, 107))
        assert 0 < await here.seconds_left("ada") <= 60

    run(play, broker)


def test_s6_a_frozen_broker_is_waited_for_once_and_by_few(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        assert await here.add("ada", 60) == 1
        with broker.frozen():
            began = time.monotonic()
            assert await here.add("ada", 60) == 2
            assert not here.is_shared
            assert [await here.add("ada", 60) for _ in range(100)] == list(range(3, 103))
            assert time.monotonic() - began < PATIENT_SECONDS

    run(play, broker)


def test_s6_many_who_find_it_frozen_at_the_same_time_wait_no_longer_than_one(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        await here.add("ada", 60)
        with broker.frozen():
            began = time.monotonic()
            assert len(await asyncio.gather(*(here.add("ada", 60) for _ in range(300)))) == 300
            assert time.monotonic() - began < PATIENT_SECONDS
            assert here.local.count("ada") == 301

    run(play, broker)


def test_s6_a_thawed_or_restarted_broker_is_asked_again_by_itself(broker: Broker) -> None:
    async def play(here: Counters, there: Counters) -> None:
        with broker.frozen():
            await here.add("ada", 60)
        await back_together(here)
        broker.kill()
        await here.add("ada", 60)
        assert not here.is_shared
        broker.start()
        await back_together(here)
        await here.add("eve", 60)
        assert await there.add("eve", 60) == 2

    run(play, broker)


def test_s6_a_broker_that_was_never_there_is_no_reason_not_to_count() -> None:
    async def play() -> None:
        lost = Counters(settings.read({**os.environ, "BROKER_URL": f"redis://127.0.0.1:{ports.free()}/0"}))
        assert [await lost.add("ada", 60) for _ in range(3)] == [1, 2, 3]
        await lost.close()

    asyncio.run(play())


def test_s6_strangers_without_number_cost_a_bounded_memory() -> None:
    counters = LocalCounters(keys_max=100)
    for number in range(10_000):
        counters.add(f"stranger {number}", 60)
        counters.add("busy", 60)
    assert len(counters) == 100
    assert counters.count("busy") == 10_000
