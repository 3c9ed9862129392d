"""How long a request may take to be answered (SECURITY S29): one look at all of them, instead of a timer for each.

Time in which we wait for the client does not count: `http_protocol.py` has limits for that. Nor does what comes after
the first byte of an answer: streams and exports say themselves how long they go on.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

LOOK_SECONDS = 0.25

Task = asyncio.Task[Any]


class Budgets:
    """Until when each request that is under way in this process must be answered, by the task that answers it."""

    def __init__(self, allowed: timedelta) -> None:
        self._seconds = allowed.total_seconds()
        self._ends_at: dict[Task, float] = {}
        self._spent: set[Task] = set()

    def begin(self) -> Task:
        """Give the current task its time."""
        task = asyncio.current_task()
        assert task is not None
        self._ends_at[task] = time.perf_counter() + self._seconds
        return task

    def begin_anew(self, task: Task) -> None:
        self._ends_at[task] = time.perf_counter() + self._seconds

    def extend(self, seconds: float) -> None:
        """Give the current task more time, because its caller asked it to wait (RFC 7240, section 4.3)."""
        task = asyncio.current_task()
        if task in self._ends_at:
            self._ends_at[task] += seconds

    def suspend(self, task: Task) -> None:
        """From now on we wait for the client, or answer already."""
        self._ends_at[task] = math.inf

    def end(self, task: Task) -> None:
        del self._ends_at[task]
        self._spent.discard(task)

    def is_spent(self, task: Task) -> bool:
        """Whether the task was cancelled here; if so, it may go on, and say that it was."""
        if task not in self._spent:
            return False
        self._spent.discard(task)
        task.uncancel()
        return True

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Cancel what is overdue, as long as the block lasts."""
        watching = asyncio.create_task(self._watch(), name="budgets")
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.perf_counter()
            for task in [each for each, ends_at in self._ends_at.items() if ends_at < now]:
                self.suspend(task)
                self._spent.add(task)
                task.cancel()
