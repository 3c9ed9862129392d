"""Orders that have overstayed their status: how many, in which, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from models.lifecycle import Status

# When more are stuck than this, their exact number helps nobody.
COUNTED_MAX = 10_000
NAMED_MAX = 5


@dataclass(frozen=True)
class Stuck:
    """The stuck orders of one status; the oldest, at most NAMED_MAX, by name."""

    status: Status
    orders: int
    since: datetime
    oldest: Sequence[UUID]


# Leans on ix_orders_due_at.
_STUCK = text(
    """
    SELECT status, count(*) AS orders, min(due_at) AS since, (array_agg(id ORDER BY due_at, id))[1 : :named] AS oldest
    FROM (
        SELECT id, status, due_at FROM orders
        WHERE status NOT IN ('cancelled', 'delivered', 'expired') AND due_at <= now()
        ORDER BY due_at LIMIT :counted
    ) AS stuck
    GROUP BY status ORDER BY min(due_at)
    """
)


def stuck(connection: Connection) -> list[Stuck]:
    """Which statuses have stuck orders, the longest overdue first; only the oldest COUNTED_MAX orders are counted."""
    rows = connection.execute(_STUCK, {"named": NAMED_MAX, "counted": COUNTED_MAX})
    return [Stuck(Status(row.status), row.orders, row.since, row.oldest) for row in rows]
