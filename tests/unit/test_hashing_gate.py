"""The gate around hashing (S4): so many at once, so many waiting, and the rest is told to come back."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from api.identity.hashing import WAIT_SECONDS_MAX, WAITING_MAX, HashingGate
from models import errors

AT_ONCE = os.cpu_count() or 1
PATIENCE_SECONDS = 10


@dataclass
class Hashing:
    """Work that goes on in a thread until it is let go, and counts itself."""

    let_go: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)

    def __call__(self) -> str:
        self.begun.append(threading.current_thread().name)
        assert self.let_go.wait(PATIENCE_SECONDS)
        return "hashed"


@asynccontextmanager
async def gate(hashing: Hashing) -> AsyncIterator[HashingGate]:
    opened = HashingGate()
    try:
        yield opened
    finally:
        hashing.let_go.set()
        await opened.close()


def run(test: Callable[[HashingGate, Hashing], Awaitable[None]]) -> None:
    async def within() -> None:
        hashing = Hashing()
        async with gate(hashing) as opened:
            await test(opened, hashing)

    asyncio.run(within())


async def occupied(opened: HashingGate, hashing: Hashing, count: int) -> list[asyncio.Task[str]]:
    """So many callers, as many of whom as can be are being served."""
    callers = [asyncio.create_task(opened.run(hashing)) for _ in range(count)]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(hashing.begun) < min(count, AT_ONCE):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return callers


def test_s4_as_many_hash_at_once_as_there_are_cores_and_sixteen_wait() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        callers = await occupied(opened, hashing, AT_ONCE + WAITING_MAX)
        assert len(hashing.begun) == AT_ONCE
        with pytest.raises(errors.Unavailable) as refused:
            await opened.run(hashing)
        assert refused.value.cause is errors.Cause.HASHING_FULL
        hashing.let_go.set()
        assert await asyncio.gather(*callers) == ["hashed"] * (AT_ONCE + WAITING_MAX)
        assert await opened.run(hashing) == "hashed", "there is room again"

    assert WAITING_MAX == 16
    run(test)


def test_s4_a_client_that_hangs_up_frees_no_thread() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        for caller in await occupied(opened, hashing, AT_ONCE):
            caller.cancel()
        waiting = await occupied(opened, hashing, WAITING_MAX)
        await asyncio.sleep(0.05)
        assert len(hashing.begun) == AT_ONCE, "nobody else is being served"
        with pytest.raises(errors.Unavailable):
            await opened.run(hashing)
        hashing.let_go.set()
        await asyncio.gather(*waiting)

    run(test)


def test_s4_who_hangs_up_while_waiting_makes_room_and_costs_no_hash() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        callers = await occupied(opened, hashing, AT_ONCE + WAITING_MAX)
        for caller in callers[AT_ONCE:]:
            caller.cancel()
        await asyncio.sleep(0.05)
        last = asyncio.create_task(opened.run(hashing))
        hashing.let_go.set()
        assert await last == "hashed"
        assert len(hashing.begun) == AT_ONCE + 1

    run(test)


def test_s4_nobody_waits_for_longer_than_two_seconds() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        served = await occupied(opened, hashing, AT_ONCE)
        with pytest.raises(errors.Unavailable):
            await opened.run(hashing)
        for caller in served:
            with pytest.raises(errors.Unavailable) as refused:
                await caller
            assert refused.value.cause is errors.Cause.HASHING_SLOW

    assert WAIT_SECONDS_MAX == 2
    run(test)


def test_s4_hashing_is_done_by_threads_of_the_gate_and_the_loop_goes_on() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        callers = await occupied(opened, hashing, AT_ONCE)
        for _ in range(10):
            await asyncio.sleep(0)
        hashing.let_go.set()
        await asyncio.gather(*callers)
        assert all(name.startswith("hashing") for name in hashing.begun)

    run(test)


def test_closing_waits_for_what_is_being_hashed_and_not_for_ever() -> None:
    async def test(opened: HashingGate, hashing: Hashing) -> None:
        callers = await occupied(opened, hashing, AT_ONCE + 3)
        asked_at = time.monotonic()
        await opened.close(0.1)
        assert time.monotonic() - asked_at < PATIENCE_SECONDS / 2
        assert len(hashing.begun) == AT_ONCE, "what waited is not hashed any more"
        hashing.let_go.set()
        await opened.close()
        assert [await caller for caller in callers[:AT_ONCE]] == ["hashed"] * AT_ONCE
        await asyncio.gather(*callers, return_exceptions=True)

    run(test)


def test_s4_a_thread_that_was_kept_from_hashing_rests_for_as_long_before_the_next() -> None:
    kept_waiting = 0.1

    def hash_slowly() -> float:
        time.sleep(kept_waiting)  # as if others had the processor
        return time.monotonic()

    async def test(opened: HashingGate, _hashing: Hashing) -> None:
        ended = await asyncio.gather(*(opened.run(hash_slowly) for _ in range(AT_ONCE)))
        assert await opened.run(time.monotonic) >= min(ended) + 0.9 * kept_waiting

    run(test)
