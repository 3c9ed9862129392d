"""The acceptor: where the orders of all requests in this process meet, and are written together.

It has connections of its own in autocommit mode: a batch is one statement, and that is its transaction.
"""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from api.database import Database
from api.group_commit import Closed, GroupCommit, QueueFull
from models import acceptance, errors
from models.acceptance import Answer, Outcome, Request, Terms
from runtime import database

P = ParamSpec("P")
R = TypeVar("R")

WRITERS = 2
# A batch that failed is written again one by one, side by side, where some may have to wait for a lock.
CONNECTIONS = 8
# At some thousand orders a second, who stands at the end of this queue still gets an answer within a second.
WAITING_MAX = 2048
TRIES = 5


class Acceptor:
    """Accepts orders.

    Args:
        autocommitting: where batches are written, with CONNECTIONS.
        transactional: where the orders of one request are written that have to be accepted together.
    """

    def __init__(
        self, autocommitting: Database, transactional: Database, terms: Terms, waiting_max: int = WAITING_MAX
    ) -> None:
        self._autocommitting = autocommitting
        self._transactional = transactional
        self._terms = terms
        self._group = GroupCommit(self._write, database.is_unavailable, writers=WRITERS, waiting_max=waiting_max)

    async def accept(self, request: Request) -> Answer:
        """The answer to a request, durable when this returns.

        Raises:
            errors.OrderPipelineError: a refusal that is not stored with the key.
            errors.Unavailable: too many wait, or the process is stopping; nothing was written.
        """
        try:
            outcome = await self._group.submit(request)
        except (QueueFull, Closed):
            raise errors.Unavailable from None
        if isinstance(outcome, errors.OrderPipelineError):
            raise outcome
        return outcome

    async def accept_together(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """The answers to the orders of one request, all durable when this returns.

        Raises:
            errors.OrderPipelineError: a refusal of the whole; nothing of it was written.
        """
        return await _settle(self._transactional, acceptance.accept_together, requests, self._terms)

    async def close(self) -> None:
        """Answer what was taken, and take nothing more."""
        await self._group.close()

    async def _write(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        return await _settle(self._autocommitting, acceptance.accept, batch, self._terms)


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
