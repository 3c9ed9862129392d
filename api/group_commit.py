"""Group commit: what arrives while a batch is being committed is the next batch.

Nobody waits for a timer. An idle writer takes a request at once, alone; under load the batches grow by themselves, and
the price of a transaction is shared. One writer makes the largest batches; another one helps when there is a whole
batch for it, or when the first is held up. This class knows nothing of HTTP or SQL.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from api.patience import end
from runtime import shutdown

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")


class QueueFull(Exception):
    """More is waiting than could be written soon; nothing was taken."""


class Closed(Exception):
    """The process is stopping; nothing was taken."""


@dataclass(frozen=True, eq=False)
class _Entry(Generic[Request, Outcome]):
    request: Request
    outcome: asyncio.Future[Outcome]

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # Its caller may have gone.
            self.outcome.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)


class GroupCommit(Generic[Request, Outcome]):
    """Collects requests into batches and hands each of them its own outcome.

    Args:
        write: commits a batch, soon or not at all; returns the outcomes in the sequence of the requests. If it raises,
            each request may be written again: what was committed all the same is found, and not done twice.
        write_alone: commits one request of a batch that failed, and may take its time.
        concerns_all: whether an error of `write` says something about every request of the batch (the database is
            gone) rather than about one of them (it has a value the database refuses).
        writers: how many batches may be committing at once.
        batch_max: how many requests a batch may have.
        waiting_max: how many requests may wait for a writer.
        patience_seconds: after how long a commit is held up (by a lock, by the disk), and somebody else takes the next.
        tell_waiting: is told how many wait, whenever that has changed.
        tell_failed: is told which batch has failed, once, and why.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Request]], Awaitable[Sequence[Outcome]]],
        write_alone: Callable[[Request], Awaitable[Outcome]],
        concerns_all: Callable[[Exception], bool],
        *,
        writers: int = 2,
        batch_max: int = 64,
        waiting_max: int = 2048,
        patience_seconds: float = 0.02,
        tell_waiting: Callable[[int], object] = lambda _: None,
        tell_failed: Callable[[Sequence[Request], Exception], object] = lambda _batch, _error: None,
    ) -> None:
        self._write = write
        self._write_alone = write_alone
        self._concerns_all = concerns_all
        self._writers_max = writers
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._patience_seconds = patience_seconds
        self._tell_waiting = tell_waiting
        self._tell_failed = tell_failed
        self._waiting: deque[_Entry[Request, Outcome]] = deque()
        self._writing = self._held_up = self._in_work = 0
        self._writers: set[asyncio.Task[None]] = set()
        self._alone: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many requests wait for a writer, or are written alone."""
        return len(self._waiting) + len(self._alone)

    async def submit(self, request: Request) -> Outcome:
        """The outcome of `request`, once its batch is committed. A caller that stops waiting disturbs nobody.

        Raises:
            QueueFull, Closed: it was not taken.
            Exception: what `write_alone` raised for this request, or `write` for all.
        """
        if self._is_closed:
            raise Closed
        if (waiting := self.waiting) >= self._waiting_max:
            raise QueueFull
        entry: _Entry[Request, Outcome] = _Entry(request, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._tell_waiting(waiting + 1)
        if self._writing == self._held_up or len(self._waiting) >= self._batch_max:
            self._start_writer()
        return await entry.outcome

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> int:
        """Take nothing more, and return when everything that was taken has its outcome, or so much time is over.

        Then it says how many have none: they are not committed, or nobody knows.
        """
        self._is_closed = True
        ends_at = time.monotonic() + seconds
        while (busy := self._writers | self._alone) and (left := ends_at - time.monotonic()) > 0:
            await asyncio.wait(busy, timeout=left)
        without = self.waiting + self._in_work
        await end(busy)
        return without

    def _start_writer(self) -> None:
        """One more, if something waits and there may be one more."""
        if self._waiting and self._writing < self._writers_max:
            self._writing += 1
            _start(self._drain(), self._writers)

    async def _drain(self) -> None:
        """Write batch after batch, until nothing waits."""
        try:
            while batch := self._next_batch():
                self._in_work += len(batch)
                with self._impatience():
                    await self._commit(batch)
                self._in_work -= len(batch)
        finally:
            # Not when the task is done, which is a moment later: what is submitted in between would wait for nobody.
            self._writing -= 1

    @contextmanager
    def _impatience(self) -> Iterator[None]:
        """Around a commit: when it takes too long, its writer does not count any more until it is back."""
        is_held_up = False

        def lose_patience() -> None:
            nonlocal is_held_up
            is_held_up = True
            self._held_up += 1
            self._start_writer()

        timer = asyncio.get_running_loop().call_later(self._patience_seconds, lose_patience)
        try:
            yield
        finally:
            timer.cancel()
            self._held_up -= is_held_up

    def _next_batch(self) -> list[_Entry[Request, Outcome]]:
        """The first that wait, at most `batch_max`, without those whose caller has gone."""
        batch: list[_Entry[Request, Outcome]] = []
        while self._waiting and len(batch) < self._batch_max:
            entry = self._waiting.popleft()
            if not entry.outcome.done():
                batch.append(entry)
        self._tell_waiting(self.waiting)
        return batch

    async def _commit(self, batch: Sequence[_Entry[Request, Outcome]]) -> None:
        try:
            outcomes = await self._write([entry.request for entry in batch])
        except Exception as error:
            self._after_failure(batch, error)
        else:
            for entry, outcome in zip(batch, outcomes, strict=True):
                entry.settle(outcome)

    def _after_failure(self, batch: Sequence[_Entry[Request, Outcome]], error: Exception) -> None:
        """The batch has no outcomes: find whose fault it was by writing each alone, where that can be told."""
        self._tell_failed([entry.request for entry in batch], error)
        for entry in batch:
            if self._concerns_all(error):
                entry.fail(error)
            else:
                # Side by side, and not by the writer: one that has to wait for a lock holds up neither its neighbours
                # nor those who come later.
                task = _start(self._commit_alone(entry), self._alone)
                task.add_done_callback(lambda _: self._tell_waiting(self.waiting))
        self._tell_waiting(self.waiting)

    async def _commit_alone(self, entry: _Entry[Request, Outcome]) -> None:
        try:
            entry.settle(await self._write_alone(entry.request))
        except Exception as error:
            entry.fail(error)


def _start(work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name="group commit")
    among.add(task)
    task.add_done_callback(among.discard)
    return task
