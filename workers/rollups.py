"""The analytics rollups."""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import outbox, rollups
from models.outbox import Work
from workers.batches import task


@task("rollups.fold")
def fold(connection: Connection, due: Sequence[Work]) -> None:
    """Fold new order events into the daily aggregates."""
    _, more = rollups.fold(connection)
    if more:  # in a transaction of its own: a long one would hold back what comes after it
        outbox.put(connection, due[0].kind)
