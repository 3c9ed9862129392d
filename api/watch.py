"""Waiting for orders to change: one query for everybody who waits in this process, however many they are."""

import asyncio
from collections.abc import Callable, Mapping
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.database import Database
from models import orders
from runtime import shutdown

LOOK_SECONDS = 0.05
# How long somebody may still be waiting after a signal to stop, or after their credentials were revoked.
PATIENCE_SECONDS = 1.0


class Watch:
    """Looks at the versions of the orders somebody waits for, and only while somebody does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[asyncio.Future[int], tuple[UUID, int]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def change(self, order_id: UUID, seen: int, seconds: float, may_wait: Callable[[], bool]) -> int:
        """The order's version as soon as it is another than `seen`; `seen` after `seconds`, or when we have to stop.

        `may_wait`: whether who waits still may; looked at every second.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        version = seen
        while version == seen and (left := ends_at - loop.time()) > 0 and may_wait() and not shutdown.has_begun():
            version = await self._next_change(order_id, seen, min(left, PATIENCE_SECONDS))
        return version

    async def _next_change(self, order_id: UUID, seen: int, seconds: float) -> int:
        changed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[changed] = (order_id, seen)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="watch")
        try:
            return await asyncio.wait_for(changed, seconds)
        except TimeoutError:
            return seen
        finally:
            del self._waiting[changed]

    async def _look(self) -> None:
        while self._waiting:
            self._tell(await self._versions())
            await asyncio.sleep(LOOK_SECONDS)

    async def _versions(self) -> Mapping[UUID, int]:
        """What the orders' versions are now; nothing while the database cannot be asked."""
        order_ids = {order_id for order_id, _ in self._waiting.values()}
        try:
            return await self._database.run(orders.versions, order_ids)
        except (SQLAlchemyError, OSError):
            return {}

    def _tell(self, versions: Mapping[UUID, int]) -> None:
        for changed, (order_id, seen) in self._waiting.items():
            version = versions.get(order_id, seen)
            if version != seen and not changed.done():
                changed.set_result(version)
