"""Invariants of work: whatever is to be done has a row that brings it about, or a letter that says why not (G4, G5)."""

from models.invariants.invariant import Invariant

NAMES_ORDERS = Invariant(
    "outbox-names-orders",
    "G4",
    "work is for an order that exists, in a version it has reached",
    "The row can never do anything. It was not written with its order; delete it, and find out who wrote it.",
    """
    SELECT 'outbox ' || w.id FROM outbox AS w LEFT JOIN orders ON orders.id = w.order_id
    WHERE w.order_id IS NOT NULL AND (orders.id IS NULL OR w.expected_version > orders.version)
    """,
)

IN_TIME = Invariant(
    "outbox-in-time",
    "G5",
    "no work has been due for more than five minutes",
    'No relay leads, the broker is down, or no worker keeps up: see the runbook, "An order is stuck".',
    """
    SELECT 'outbox ' || id || ' ' || kind FROM outbox WHERE available_at < now() - :overdue_after
    """,
)

# A letter that somebody discarded stands for the order too: a person has taken it over.
FOLLOW_UPS = Invariant(
    "orders-have-their-work",
    "G5",
    "an order whose status asks for work has its outbox row, or a dead letter",
    "Nothing will move this order. Was it placed under another CONFIRMATION or AUTOPILOT? Ask for its work: see the"
    ' runbook, "An order is stuck".',
    """
    SELECT orders.id || ' ' || orders.status
    FROM jsonb_to_recordset(CAST(:follow_ups AS jsonb)) AS f(status text, kind text)
    JOIN orders ON orders.status = f.status
    WHERE NOT EXISTS (SELECT FROM outbox AS w
            WHERE w.order_id = orders.id AND w.kind = f.kind AND w.expected_version = orders.version)
        AND NOT EXISTS (SELECT FROM dead_letters AS d
            WHERE d.order_id = orders.id AND d.kind = f.kind AND d.expected_version = orders.version
                AND (d.resolved_at IS NULL OR d.resolved_how = 'discarded'))
    """,
)

REQUESTS = Invariant(
    "requests-have-their-work",
    "G5",
    "a transition that was asked for and is pending has its outbox row, or an open dead letter",
    "Somebody waits for an answer that will not come. Put an `orders.transition` row for the order into the outbox.",
    """
    SELECT r.id || ' of ' || r.order_id FROM transition_requests AS r
    WHERE r.state = 'pending'
        AND NOT EXISTS (SELECT FROM outbox AS w WHERE w.order_id = r.order_id AND w.kind = :transition)
        AND NOT EXISTS (SELECT FROM dead_letters AS d
            WHERE d.order_id = r.order_id AND d.kind = :transition AND d.resolved_at IS NULL)
    """,
)

FAILURES = Invariant(
    "failures-explained",
    "G5",
    "a failed order has a dead letter, or its event a reason",
    "Nobody can tell why it failed. Look for its id in the workers' log, then ask staff to move it to pending.",
    """
    SELECT orders.id::text FROM orders JOIN order_events AS e ON e.order_id = orders.id AND e.version = orders.version
    WHERE orders.status = 'failed' AND e.reason IS NULL
        AND NOT EXISTS (SELECT FROM dead_letters AS d WHERE d.order_id = orders.id)
    """,
)

INVARIANTS = (NAMES_ORDERS, IN_TIME, FOLLOW_UPS, REQUESTS, FAILURES)
