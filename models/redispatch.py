"""The second line of defence: work whose outbox row was lost, or whose time a stepped clock has moved away.

Nothing of ours loses a row. A restored dump may, a hand in the database, or a policy that asked for no work when the
order was placed. Asking twice does no harm: work for a version that has passed does nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection, Interval, Uuid, bindparam, text

from models.documents import dumps
from models.lifecycle import Policy, Status
from models.outbox import BACK_OFF_MAX
from models.transition_requests import KIND as TRANSITION_KIND

ROWS_PER_SWEEP = 10_000
# A worker is waited for this long before a request counts as forgotten.
REQUEST_PATIENCE = timedelta(minutes=5)

# Leans on ix_orders_due_at: only what has overstayed its status is looked at. A dead letter waits for a person, and
# what a person has discarded stays undone.
_ASK_FOR_MOVES = text(
    """
    WITH follow_up AS (
        SELECT * FROM jsonb_to_recordset(CAST(:follow_ups AS jsonb)) AS f(status text, kind text)
    ), lost AS (
        SELECT o.id, o.version, follow_up.kind FROM orders AS o JOIN follow_up USING (status)
        WHERE o.status NOT IN ('cancelled', 'delivered', 'expired') AND o.due_at <= now()
          AND NOT EXISTS (
            SELECT 1 FROM outbox AS w
            WHERE w.order_id = o.id AND w.kind = follow_up.kind AND w.expected_version = o.version)
          AND NOT EXISTS (
            SELECT 1 FROM dead_letters AS d
            WHERE d.order_id = o.id AND d.kind = follow_up.kind AND d.expected_version = o.version
              AND (d.resolved_at IS NULL OR d.resolved_how = 'discarded'))
        ORDER BY o.due_at LIMIT :limit
    )
    INSERT INTO outbox (kind, order_id, expected_version) SELECT kind, id, version FROM lost RETURNING order_id
    """
).columns(order_id=Uuid)

# Leans on ix_transition_requests_created_at. Whoever does this work does all requests of the order.
_ASK_FOR_TRANSITIONS = text(
    """
    INSERT INTO outbox (kind, order_id, request_id)
    SELECT DISTINCT ON (r.order_id) :kind, r.order_id, r.request_id FROM transition_requests AS r
    WHERE r.state = 'pending' AND r.created_at <= now() - :patience
      AND NOT EXISTS (SELECT 1 FROM outbox AS w WHERE w.order_id = r.order_id AND w.kind = :kind)
    ORDER BY r.order_id, r.id LIMIT :limit
    RETURNING order_id
    """
).columns(order_id=Uuid)

# Leans on ix_outbox_available_at_id. Nothing is put off for longer than `longest`: that time came from another clock.
_RECALL = text(
    """
    UPDATE outbox SET available_at = now() WHERE id IN (
        SELECT id FROM outbox WHERE available_at > now() + :longest AND (order_id IS NULL OR NOT :ticks_only)
        ORDER BY available_at, id LIMIT :limit FOR UPDATE SKIP LOCKED)
    """
).bindparams(bindparam("longest", type_=Interval))


# The outbox has no index by order, so it is read whole, and once: its statistics may be those of a quiet hour, and of a
# long outbox a nested loop would never come to an end.
_AS_A_WHOLE = text("SELECT set_config('enable_nestloop', 'off', true), set_config('enable_seqscan', 'on', true)")


@dataclass(frozen=True)
class Redispatched:
    """What was asked for again: the orders whose next move, or whose requests, nobody was going to do; and how many
    rows of the outbox were recalled from the future."""

    moves: Sequence[UUID]
    transitions: Sequence[UUID]
    recalled: int

    @property
    def most(self) -> int:
        return max(len(self.moves), len(self.transitions), self.recalled)


def redispatch(connection: Connection, policy: Policy, limit: int = ROWS_PER_SWEEP) -> Redispatched:
    """Ask again for work that is lost, up to `limit` rows of each kind of loss; one that reaches it may have more."""
    connection.execute(_AS_A_WHOLE)
    follow_ups = [
        {"status": status, "kind": follow_up.kind} for status in Status if (follow_up := policy.follow_up(status))
    ]
    moves = connection.execute(_ASK_FOR_MOVES, {"follow_ups": dumps(follow_ups), "limit": limit})
    wished = {"kind": TRANSITION_KIND, "patience": REQUEST_PATIENCE, "limit": limit}
    transitions = connection.execute(_ASK_FOR_TRANSITIONS, wished)
    recalled = _recall(connection, BACK_OFF_MAX + policy.dwell, limit, ticks_only=False)
    return Redispatched(list(moves.scalars()), list(transitions.scalars()), recalled)


def recall_ticks(connection: Connection) -> int:
    """Make ticks due that a clock, stepped back since, has left in the future; returns how many."""
    return _recall(connection, BACK_OFF_MAX, ROWS_PER_SWEEP, ticks_only=True)


def _recall(connection: Connection, longest: timedelta, limit: int, *, ticks_only: bool) -> int:
    values = {"longest": longest, "limit": limit, "ticks_only": ticks_only}
    return connection.execute(_RECALL, values).rowcount
