"""Housekeeping on the timetable, in bounded bites."""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import idempotency, outbox
from models.outbox import Work
from workers.batches import task

# A sweep is one short transaction; where it was not enough, the next one follows at once.
KEYS_PER_SWEEP = 10_000


@task("upkeep.prune-idempotency-keys")
def prune_idempotency_keys(connection: Connection, due: Sequence[Work]) -> None:
    """Forget idempotency keys that have expired."""
    if idempotency.prune(connection, KEYS_PER_SWEEP) == KEYS_PER_SWEEP:
        outbox.put(connection, due[0].kind)
