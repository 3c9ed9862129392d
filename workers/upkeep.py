"""Housekeeping on the timetable, in bounded bites."""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import idempotency
from models.outbox import Work
from workers.batches import task

KEYS_PER_SWEEP = 10_000


@task("upkeep.prune-idempotency-keys")
def prune_idempotency_keys(connection: Connection, due: Sequence[Work]) -> None:
    """Forget idempotency keys that have expired."""
    idempotency.prune(connection, KEYS_PER_SWEEP)
