"""Orders that nobody confirmed in time."""

from sqlalchemy import Connection, Uuid, text

from models.advance import Step, advance
from models.lifecycle import Policy, Status
from runtime.settings import Confirmation

ORDERS_PER_SWEEP = 1000
OVERDUE = "not_confirmed_in_time"

# Leans on ix_orders_due_at. Orders that somebody is moving right now are left to the next sweep.
_OVERDUE = text(
    """
    SELECT id, version FROM orders WHERE status = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    """
).columns(id=Uuid)


def expire(connection: Connection, policy: Policy, limit: int = ORDERS_PER_SWEEP) -> int:
    """Expire up to `limit` overdue pending orders; returns how many. Where confirmation is automatic, none ever is."""
    if policy.confirmation is not Confirmation.MANUAL:
        return 0
    rows = connection.execute(_OVERDUE, {"limit": limit})
    steps = [Step(row.id, row.version, Status.PENDING, Status.EXPIRED, reason=OVERDUE) for row in rows]
    return len(advance(connection, steps, policy))
