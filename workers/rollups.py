"""The analytics rollups."""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import rollups
from models.outbox import Work
from workers.batches import task

# One task catches up this many folds at the most; the rest belongs to the next tick.
FOLDS_PER_TASK = 20


@task("rollups.fold")
def fold(connection: Connection, due: Sequence[Work]) -> None:
    """Fold new order events into the daily aggregates."""
    for _ in range(FOLDS_PER_TASK):
        _, more = rollups.fold(connection)
        if not more:
            return
