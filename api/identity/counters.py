"""Counters that all API processes share in the broker, and that go on here at once when it is away (S6).

Everything is counted here too, all the time: a broker that is lost, frozen or slow changes who is asked, and never
means that nothing is counted. Then each process knows only what came to itself. Nobody waits for it for longer than
`PATIENCE_SECONDS`, and, while it is away, only one request in a second waits at all.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.patience import soon
from runtime import logs
from runtime.settings import Settings

R = TypeVar("R")

log = logs.get(__name__)

PATIENCE_SECONDS = 0.25
AWAY_SECONDS = 1.0
# More would not be quicker: what takes its time is opening them, and the event loop.
CONNECTIONS = 8
KEYS_MAX = 50_000


class LocalCounters:
    """Counts of this process, each for its own while; those not touched for longest are forgotten first."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._keys_max = keys_max

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: str, seconds: int, amount: int = 1) -> int:
        count, ends_at = self._living(key) or (0, time.monotonic() + seconds)
        self._counts[key] = count + amount, ends_at
        self._counts.move_to_end(key)
        if len(self._counts) > self._keys_max:
            self._counts.popitem(last=False)
        return count + amount

    def count(self, key: str) -> int:
        return (self._living(key) or (0, 0.0))[0]

    def seconds_left(self, key: str) -> float:
        ends_at = (self._living(key) or (0, 0.0))[1]
        return max(0.0, ends_at - time.monotonic())

    def forget(self, key: str) -> None:
        self._counts.pop(key, None)

    def _living(self, key: str) -> tuple[int, float] | None:
        found = self._counts.get(key)
        return found if found and found[1] > time.monotonic() else None


class Counters:
    def __init__(self, settings: Settings) -> None:
        url = settings.broker_url.get_secret_value()
        # It waits for a connection, and tries nothing twice: how long all of it may take is decided in one place.
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._shared = RedisStorage(f"async+{url}", implementation="redispy", key_prefix="limits", **options)
        self._away_until = 0.0
        self.local = LocalCounters()

    @property
    def is_shared(self) -> bool:
        """Whether the broker answered last time, or was not asked yet."""
        return self._away_until == 0.0

    async def add(self, key: str, seconds: int, amount: int = 1) -> int:
        """Count, and say how many that makes since the first, which is forgotten after so many seconds."""
        here = self.local.add(key, seconds, amount)
        return await self._ask(lambda: self._shared.incr(key, seconds, amount), here)

    async def count(self, key: str) -> int:
        return await self._ask(lambda: self._shared.get(key), self.local.count(key))

    async def seconds_left(self, key: str) -> float:
        """How long it lasts until this count is forgotten."""
        here = self.local.seconds_left(key)
        ends_at = await self._ask(lambda: self._shared.get_expiry(key), time.time() + here)
        return max(0.0, ends_at - time.time())

    async def forget(self, key: str) -> None:
        self.local.forget(key)
        await self._ask(lambda: self._clear(key), True)

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _clear(self, key: str) -> bool:
        await self._shared.clear(key)
        return True

    async def _ask(self, question: Callable[[], Awaitable[R]], here: R) -> R:
        """The broker's answer, or ours."""
        if not self.is_shared:
            if time.monotonic() < self._away_until:
                return here
            self._is_away()  # This one tries whether it is back; the others need not wait with it.
        try:
            answer = await soon(question, PATIENCE_SECONDS)
        except (RedisError, OSError, TimeoutError) as error:
            if self.is_shared:
                log.warning("limits are counted in this process alone", error=type(error).__name__)
            self._is_away()
            return here
        if not self.is_shared:
            log.info("limits are counted together again")
            self._away_until = 0.0
        return answer

    def _is_away(self) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
