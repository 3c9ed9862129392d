"""The acceptor: where the orders of all requests in this process meet, and are written together.

It has connections of its own in autocommit mode: a batch is one statement, and that is its transaction. They are in a
hurry. Who has to wait for a key that is claimed elsewhere waits alone, and no neighbour waits for it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database import Database
from api.group_commit import Closed, GroupCommit, QueueFull
from api.metrics.measures import ACCEPTED, REFUSED, REPLAYED, Measures
from models import acceptance, errors
from models.acceptance import Answer, Outcome, Request, Terms
from runtime import database, logs, shutdown, tracing
from runtime.settings import Settings

P = ParamSpec("P")
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
        )
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
            raise errors.Unavailable from None
        except Closed:
            raise errors.Unavailable from None
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
        return await _settle(self._transactional, acceptance.accept_together, requests, self._terms)

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> None:
        """Take nothing more, and answer what was taken, as far as that is possible within so many seconds."""
        if lost := await self._group.close(seconds):
            log.warning("taken orders have no answer; to ask again with their keys is safe", lost=lost)

    async def _write(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        self._measures.wrote(len(batch))
        with _traced(batch):
            return await _settle(self._hurried, acceptance.accept, batch, self._terms)

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
        try:
            await asyncio.wait_for(self._patient.acquire(), PATIENCE_SECONDS)
        except TimeoutError:
            raise reason from None
        try:
            with _traced([request]):
                return await _settle(self._transactional, acceptance.accept, [request], self._terms)
        finally:
            self._patient.release()


def _traced(batch: Sequence[Request]) -> AbstractContextManager[None]:
    return tracing.batch("accept orders", [request.traceparent for request in batch], len(batch))


async def _settle(
    where: Database, verb: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
) -> R:
    """Run a verb anew as long as other orders get in before its references, or its connection turns out to be dead.

    Where the connection died after the commit, the second run finds the answers of the first under their keys.

    Raises:
        errors.Unavailable: that goes on and on.
    """
    for _ in range(TRIES):
        try:
            return await where.run(verb, *args, **kwargs)
        except acceptance.ReferenceRace:
            continue
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
    raise errors.Unavailable
