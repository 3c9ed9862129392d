"""The acceptor: where the orders of all requests in this process meet, and are written together.

It has connections of its own in autocommit mode: a batch is one statement, and that is its transaction. They are in a
hurry. Who has to wait for a key that is claimed elsewhere waits alone, and no neighbour waits for it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import Database
from api.group_commit import Closed, GroupCommit, QueueFull
from api.hitches import Hitches
from api.metrics.measures import ACCEPTED, REFUSED, REPLAYED, Measures
from models import acceptance, errors
from models.acceptance import Answer, Outcome, Request, Terms
from runtime import database, logs, shutdown, tracing
from runtime.settings import Settings

R = TypeVar("R")

log = logs.get(__name__)

WRITERS = 2
# A batch that failed is written again one by one, side by side.
CONNECTIONS = 8
LOCK_TIMEOUT = timedelta(milliseconds=100)
# How many may wait for a lock at once, and how long somebody waits to be among them. For the lock itself they then wait
# as long as the database lets them (`LOCK_TIMEOUT` in the settings).
PATIENT_MAX = 4
PATIENCE_SECONDS = 2.0
# At some thousand orders a second, who stands at the end of this queue still gets an answer within a second.
WAITING_MAX = 2048
TRIES = 5

# What keeps an order from being written at the first try, as the log names it.
FULL = "too many orders wait to be written, and further ones are refused"
LOST = "orders cannot be written, and are refused"
SPLIT = "a batch of orders failed, and each is written alone"
WAITS = "an order waits for a lock, alone"
CROWDED = "too many orders wait for locks, and further ones are refused"
AGAIN = "a batch of orders is written again"
GIVEN_UP = "a batch of orders was tried often enough, and is refused"


def hurried_engine(settings: Settings) -> AsyncEngine:
    return database.autocommitting_engine(settings, database.Role.API, CONNECTIONS, LOCK_TIMEOUT)


class Acceptor:
    """Accepts orders.

    Args:
        hurried: where batches are written, each statement a transaction, with CONNECTIONS and LOCK_TIMEOUT.
        transactional: where those wait that have to, and where the orders of one request are accepted together.
    """

    def __init__(
        self,
        hurried: Database,
        transactional: Database,
        terms: Terms,
        measures: Measures | None = None,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._measures = measures or Measures()
        self._hurried = hurried
        self._transactional = transactional
        self._terms = terms
        self._group = GroupCommit(
            self._write,
            self._write_alone,
            database.is_unavailable,
            writers=WRITERS,
            waiting_max=waiting_max,
            tell_waiting=self._measures.waiting,
            tell_failed=self._tell_failed,
        )
        self._hitches = Hitches()
        self._alone = asyncio.Semaphore(CONNECTIONS - WRITERS)
        self._patient = asyncio.Semaphore(PATIENT_MAX)

    async def accept(self, request: Request) -> Answer:
        """The answer to a request, durable when this returns.

        Raises:
            errors.OrderPipelineError: a refusal that is not stored with the key.
            errors.Unavailable: too many wait, or the process is stopping; nothing was written.
        """
        try:
            outcome = await self._group.submit(request)
        except QueueFull:
            self._measures.full()
            self._hitches.note(FULL, [request])
            raise errors.Unavailable(cause=errors.Cause.ACCEPTOR_FULL) from None
        except Closed:
            raise errors.Unavailable(cause=errors.Cause.STOPPING) from None
        if isinstance(outcome, errors.OrderPipelineError):
            raise outcome
        self._note(outcome)
        return outcome

    def _note(self, answer: Answer) -> None:
        if answer.replayed:
            self._measures.placed(REPLAYED)
        elif answer.order_id is not None:
            self._measures.placed(ACCEPTED)
        else:
            self._measures.placed(REFUSED)
            self._measures.refused(json.loads(answer.body)["code"])

    async def accept_together(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """The answers to the orders of one request, all durable when this returns.

        Raises:
            errors.OrderPipelineError: a refusal of the whole; nothing of it was written.
        """
        return await self._settle(self._transactional, acceptance.accept_together, requests)

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> None:
        """Take nothing more, and answer what was taken, as far as that is possible within so many seconds."""
        if lost := await self._group.close(seconds):
            log.warning("taken orders have no answer; to ask again with their keys is safe", lost=lost)
        self._hitches.close()

    def _tell_failed(self, batch: Sequence[Request], error: Exception) -> None:
        self._hitches.note(LOST if database.is_unavailable(error) else SPLIT, batch, error)

    async def _write(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        self._measures.wrote(len(batch))
        with _traced(batch):
            return await self._settle(self._hurried, acceptance.accept, batch)

    async def _write_alone(self, request: Request) -> Outcome:
        try:
            async with self._alone:  # so that the writers always have their connections
                [outcome] = await self._write([request])
        except (errors.IdempotencyInProgress, DBAPIError) as error:
            if not isinstance(error, errors.IdempotencyInProgress) and not database.is_lock_timeout(error):
                raise
            [outcome] = await self._wait_and_write(request, error)
        return outcome

    async def _wait_and_write(self, request: Request, reason: Exception) -> Sequence[Outcome]:
        """Write it when what it waits for is free, or find the answer that was given to it.

        Raises:
            Exception: the reason for waiting, if too many have one.
        """
        self._hitches.note(WAITS, [request], reason)
        try:
            await asyncio.wait_for(self._patient.acquire(), PATIENCE_SECONDS)
        except TimeoutError:
            self._hitches.note(CROWDED, [request], reason)
            raise reason from None
        try:
            with _traced([request]):
                return await self._settle(self._transactional, acceptance.accept, [request])
        finally:
            self._patient.release()

    async def _settle(
        self,
        where: Database,
        verb: Callable[[Connection, Sequence[Request], Terms], Sequence[R]],
        batch: Sequence[Request],
    ) -> Sequence[R]:
        """Run a verb anew as long as other orders get in before its references, or its connection turns out to be dead.

        Where the connection died after the commit, the second run finds the answers of the first under their keys.

        Raises:
            errors.Unavailable: that goes on and on.
        """
        for _ in range(TRIES):
            try:
                return await where.run(verb, batch, self._terms)
            except acceptance.ReferenceRace as race:
                self._hitches.note(AGAIN, batch, race)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._hitches.note(AGAIN, batch, error)
        self._hitches.note(GIVEN_UP, batch)
        raise errors.Unavailable(cause=errors.Cause.TRIES_EXHAUSTED)


def _traced(batch: Sequence[Request]) -> AbstractContextManager[None]:
    return tracing.batch("accept orders", [request.traceparent for request in batch], len(batch))
