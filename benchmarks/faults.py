"""What is done to a running system, once every second: somebody is killed with -9, or the broker forgets everything."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil
import redis

from benchmarks.whole_system import WholeSystem

FLUSHALL = "FLUSHALL"
FAULTS = ("worker child", "worker", "relay", "beat", "api", "valkey", FLUSHALL)
EVERY_SECONDS = 1.0


@dataclass
class Damage:
    """How often each fault was inflicted, and when (on the monotonic clock) the last one was."""

    inflicted: Counter[str] = field(default_factory=Counter)
    last_at: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.inflicted.values())


@contextmanager
def raining(system: WholeSystem, seconds: float, seed: int, done: Callable[[int], None]) -> Iterator[Damage]:
    """A fault a second, for as long as the block lasts and for `seconds` at least; then no more."""
    damage, over = Damage(), threading.Event()
    ends_at = time.monotonic() + seconds
    thread = threading.Thread(target=_rain, args=(system, ends_at, over, seed, damage, done), name="faults")
    thread.start()
    try:
        yield damage
    finally:
        over.set()
        thread.join()


def _rain(
    system: WholeSystem, ends_at: float, over: threading.Event, seed: int, damage: Damage, done: Callable[[int], None]
) -> None:
    chosen = random.Random(seed)  # noqa: S311 - a campaign that can be repeated
    faults = _rotation(chosen)
    next_at = time.monotonic()
    while time.monotonic() < ends_at or not over.is_set():
        next_at += EVERY_SECONDS
        time.sleep(max(next_at - time.monotonic(), 0))
        # Who died a moment ago may not be back yet: then it is the next one's turn.
        fault = next(fault for fault in faults if _inflict(system, fault, chosen))
        damage.inflicted[fault] += 1
        damage.last_at = time.monotonic()
        done(damage.total)


def _rotation(chosen: random.Random) -> Iterator[str]:
    """Each fault once in every seven, in ever new sequence."""
    while True:
        yield from chosen.sample(FAULTS, len(FAULTS))


def _inflict(system: WholeSystem, fault: str, chosen: random.Random) -> bool:
    """False where there is nobody to inflict it on."""
    if fault == FLUSHALL:
        with (
            suppress(redis.RedisError, OSError),
            redis.Redis.from_url(system.broker_supervisor, socket_timeout=1, socket_connect_timeout=1) as broker,
        ):
            return bool(broker.flushall())
        return False
    living = system.living(fault)
    if not living:
        return False
    with suppress(psutil.NoSuchProcess):
        chosen.choice(living).kill()
        return True
    return False
