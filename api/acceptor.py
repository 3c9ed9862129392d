"""The acceptor: where the orders of all requests in this process meet, and are written together."""

from collections.abc import Sequence

from api.database import Database
from api.group_commit import Closed, GroupCommit, QueueFull
from models import acceptance, errors
from models.acceptance import Answer, Outcome, Request, Terms
from runtime import database

# At some thousand orders a second, who stands at the end of this queue still gets an answer within a second.
WAITING_MAX = 2048


class Acceptor:
    def __init__(self, ours: Database, terms: Terms, waiting_max: int = WAITING_MAX) -> None:
        self._database = ours
        self._terms = terms
        self._group = GroupCommit(self._write, database.is_unavailable, waiting_max=waiting_max)

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

    async def close(self) -> None:
        """Answer what was taken, and take nothing more."""
        await self._group.close()

    async def _write(self, batch: Sequence[Request]) -> Sequence[Outcome]:
        return await self._database.run(acceptance.accept, batch, self._terms)
