"""When API keys were used last: noted in memory, and written once a minute at most, behind everybody's back.

A process that is killed forgets the last minute; one that ends writes it, if the database takes it in time.
"""

import asyncio
import time
from datetime import UTC, datetime

from api.database import Database
from api.patience import finish
from models.identity import api_keys
from runtime import logs, shutdown

log = logs.get(__name__)

WINDOW_SECONDS = 60.0


class KeyUse:
    """Writes down that keys are in use."""

    def __init__(self, database: Database, window_seconds: float = WINDOW_SECONDS) -> None:
        self._database = database
        self._window_seconds = window_seconds
        self._used: dict[str, float] = {}
        self._ending: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, prefix: str) -> None:
        """The key that begins like this was used just now."""
        self._used[prefix] = time.time()
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(self._window_seconds, self._end_window)

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> None:
        """Write what is only noted yet, and wait for what is being written, at most so long."""
        if self._ending is not None:
            self._ending.cancel()
            self._end_window()
        await finish(self._writing, seconds)

    def _end_window(self) -> None:
        """The minute is over. The next one begins with the next use."""
        used, self._used, self._ending = self._used, {}, None
        task = asyncio.get_running_loop().create_task(self._write(used))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, used: dict[str, float]) -> None:
        try:
            at = {prefix: datetime.fromtimestamp(seconds, UTC) for prefix, seconds in used.items()}
            await self._database.run(api_keys.note_use, at)
        except (Exception, asyncio.CancelledError) as error:  # whoever is used again is noted again
            log.warning("it is not written which API keys were used", lost=len(used), error=type(error).__name__)
            if isinstance(error, asyncio.CancelledError):
                raise
