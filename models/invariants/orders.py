"""Invariants of orders: their lines and totals, their keys, their events, and the stock they hold (G1, G2, G3)."""

from models.invariants.invariant import Invariant

LINES = Invariant(
    "order-lines",
    "G1",
    "every order has lines, numbered from 1 without a gap",
    "An order was not written whole: something else than acceptance wrote it. Compare it with its stored answer.",
    """
    SELECT orders.id::text FROM orders
    LEFT JOIN (SELECT order_id, count(*) AS lines, min(line) AS first, max(line) AS last
               FROM order_items GROUP BY order_id) AS l ON l.order_id = orders.id
    WHERE l.lines IS NULL OR l.first <> 1 OR l.last <> l.lines
    """,
)

TOTALS = Invariant(
    "order-totals",
    "G1",
    "an order's total is the sum of its lines",
    "Lines or total were changed after acceptance. The stored answer of its idempotency key has both as they were.",
    """
    SELECT orders.id::text FROM orders
    JOIN (SELECT order_id, sum(quantity * unit_price_minor) AS total FROM order_items GROUP BY order_id) AS l
        ON l.order_id = orders.id
    WHERE orders.total_minor <> l.total
    """,
)

ANSWERS = Invariant(
    "keys-name-orders",
    "G1",
    "every key that was answered 201 has its user's order, and the stored answer names it",
    "An acknowledged order is lost, or a retry would be told of another one. Restore the order from a backup.",
    """
    SELECT k.user_id || ' ' || k.key FROM idempotency_keys AS k LEFT JOIN orders ON orders.id = k.order_id
    WHERE k.status = 201 AND (orders.id IS NULL OR orders.user_id <> k.user_id
        OR position(convert_to('"' || k.order_id || '"', 'UTF8') IN k.body) = 0)
    """,
)

# A key is claimed when its order is placed or a moment later, and is pruned by a clock that may have gone on since this
# snapshot was taken: a minute lies between the two.
KEYS = Invariant(
    "orders-have-keys",
    "G2",
    "every order has exactly one key while keys are kept",
    "A retry would make a second order, or two keys made one. Find out who deleted or wrote idempotency_keys.",
    """
    SELECT orders.id::text FROM orders
    LEFT JOIN (SELECT order_id, count(*) AS keys FROM idempotency_keys WHERE status = 201 GROUP BY order_id) AS k
        ON k.order_id = orders.id
    WHERE orders.placed_at > now() - :kept + interval '1 minute' AND coalesce(k.keys, 0) <> 1
    """,
)

GAPS = Invariant(
    "events-gap-free",
    "G3",
    "an order's events are numbered 1 to its version without a gap",
    "An event was deleted or renumbered, which no role of ours may do. Restore order_events from a backup.",
    """
    SELECT order_id::text FROM order_events GROUP BY order_id
    HAVING min(version) <> 1 OR max(version) <> count(*)
    """,
)

CONTIGUOUS = Invariant(
    "events-contiguous",
    "G3",
    "each event begins in the status where the one before it ended",
    "An order was moved from a status it was not in: a move happened outside models/advance.py, or twice.",
    """
    SELECT order_id || ' v' || version FROM (
        SELECT order_id, version, from_status, lag(to_status) OVER (PARTITION BY order_id ORDER BY version) AS before
        FROM order_events) AS e
    WHERE from_status IS DISTINCT FROM before
    """,
)

LEGAL = Invariant(
    "events-legal",
    "G3",
    "every event is the beginning of an order or a move of the lifecycle",
    "The database let an illegal move pass: look at legal_moves and the foreign key of order_events.",
    """
    SELECT e.order_id || ' v' || e.version FROM order_events AS e
    LEFT JOIN jsonb_to_recordset(CAST(:moves AS jsonb)) AS m(source text, target text)
        ON m.source = e.from_status AND m.target = e.to_status
    WHERE m.source IS NULL AND NOT (e.from_status IS NULL AND e.to_status = 'pending')
    """,
)

STATUS = Invariant(
    "status-is-last-event",
    "G3",
    "an order's status and version are those of its last event",
    "An order was updated without an event, or an event written without its order. The events are right.",
    """
    SELECT DISTINCT orders.id::text FROM orders
    LEFT JOIN order_events AS e ON e.order_id = orders.id AND e.version >= orders.version
    WHERE e.version IS DISTINCT FROM orders.version OR e.to_status <> orders.status
    """,
)

FACTS = Invariant(
    "events-carry-their-order",
    "G3",
    "amount, currency, user and day of an event are its order's",
    "Aggregates count what events say. Find out which of the two was changed, and rebuild the aggregates.",
    """
    SELECT e.order_id || ' v' || e.version FROM order_events AS e JOIN orders ON orders.id = e.order_id
    WHERE e.amount_minor <> orders.total_minor OR e.currency <> orders.currency OR e.user_id <> orders.user_id
        OR e.placed_on <> orders.placed_on
    """,
)

LEGAL_MOVES = Invariant(
    "legal-moves",
    "G3",
    "the database's legal moves are those of models/lifecycle.py",
    "Code and schema are of different versions, or somebody edited legal_moves. Run `orders migrate`.",
    """
    SELECT coalesce(l.from_status, m.source) || ' → ' || coalesce(l.to_status, m.target)
    FROM legal_moves AS l
    FULL JOIN jsonb_to_recordset(CAST(:moves AS jsonb)) AS m(source text, target text)
        ON m.source = l.from_status AND m.target = l.to_status
    WHERE l.from_status IS NULL OR m.source IS NULL
    """,
)

STOCK = Invariant(
    "stock-reserved",
    "G3",
    "what a product has reserved is what the orders that hold stock have asked for, and is on hand",
    "Stock was changed twice, not at all, or by hand. Set `reserved` to the sum named here while the workers stand.",
    """
    SELECT coalesce(p.sku, held.sku) || ': reserved ' || coalesce(p.reserved, 0) || ', held ' || coalesce(quantity, 0)
        || ', on hand ' || coalesce(p.on_hand, 0)
    FROM products AS p
    FULL JOIN (SELECT sku, sum(quantity) AS quantity FROM orders JOIN order_items ON order_items.order_id = orders.id
               WHERE orders.status = ANY(:holding) GROUP BY sku) AS held ON held.sku = p.sku
    WHERE coalesce(p.reserved, 0) <> coalesce(held.quantity, 0) OR p.reserved NOT BETWEEN 0 AND p.on_hand
    """,
)

INVARIANTS = (LINES, TOTALS, ANSWERS, KEYS, GAPS, CONTIGUOUS, LEGAL, STATUS, FACTS, LEGAL_MOVES, STOCK)
