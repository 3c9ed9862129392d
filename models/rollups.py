"""The daily aggregates and how new events are folded into them, each exactly once.

The watermark is a transaction id (xid8): events of transactions from `upto` up to the oldest one still running are
folded, and the watermark moves there, in one transaction. Every transaction below that point has ended and none can
come, so nothing is missed and nothing counted twice, whatever the sequence in which writers commit. (A watermark on a
sequence or a timestamp is wrong under concurrency: ids are given out before they commit.)
"""

from sqlalchemy import BigInteger, Column, Connection, Date, Integer, Table, Text, Uuid, text

from models.lifecycle import REVENUE, Status
from models.metadata import Instant, Xid8, metadata, one_of

NAME = "orders"
# A fold is one statement; this bounds its memory and the time it holds the state row.
EVENTS_PER_FOLD = 50_000

daily_orders = Table(
    "daily_orders",
    metadata,
    Column("placed_on", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("orders", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    one_of("status", Status),
    comment="orders and their totals by day placed and present status",
    postgresql_with={"fillfactor": 50},
)

daily_user_revenue = Table(
    "daily_user_revenue",
    metadata,
    Column("placed_on", Date, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("revenue_minor", BigInteger, nullable=False),
    comment="orders that count as revenue, and their totals, by day placed and user",
    postgresql_with={"fillfactor": 80},
)

rollup_state = Table(
    "rollup_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("upto", Xid8, nullable=False, comment="events of older transactions are folded"),
    Column("as_of", Instant, nullable=False, comment="what was committed by then is folded"),
    Column("horizon", Xid8, nullable=False, comment="at horizon_at, no transaction from here on had begun"),
    Column("horizon_at", Instant, nullable=False),
    Column("folded_at", Instant, nullable=False),
)


_LOCK = text("SELECT CAST(upto AS text) AS upto FROM rollup_state WHERE name = :name FOR UPDATE")

# Runs after the lock is held, so its snapshot is younger than the fold that moved `upto` last. Leans on
# ix_order_events_xid.
_BOUND = text(
    """
    SELECT CAST(coalesce(capped.xid, pg_snapshot_xmin(pg_current_snapshot())) AS text) AS upto,
        capped.xid IS NOT NULL AS more
    FROM (SELECT) AS always LEFT JOIN LATERAL (
        SELECT xid FROM order_events
        WHERE xid > (SELECT xid FROM order_events WHERE xid >= CAST(:since AS xid8) ORDER BY xid OFFSET :events LIMIT 1)
          AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid LIMIT 1
    ) AS capped ON true
    """
)

_FOLD = text(
    """
    WITH event AS (
        SELECT * FROM order_events WHERE xid >= CAST(:since AS xid8) AND xid < CAST(:upto AS xid8)
    ), by_status AS (
        INSERT INTO daily_orders (placed_on, currency, status, orders, amount_minor)
        SELECT placed_on, currency, status, sum(orders), sum(amount_minor) FROM (
            SELECT placed_on, currency, to_status AS status, 1 AS orders, amount_minor FROM event
            UNION ALL
            SELECT placed_on, currency, from_status, -1, -amount_minor FROM event WHERE from_status IS NOT NULL
        ) AS delta
        GROUP BY placed_on, currency, status HAVING sum(orders) <> 0 OR sum(amount_minor) <> 0
        ON CONFLICT (placed_on, currency, status) DO UPDATE SET
            orders = daily_orders.orders + excluded.orders,
            amount_minor = daily_orders.amount_minor + excluded.amount_minor
    ), by_user AS (
        INSERT INTO daily_user_revenue (placed_on, user_id, currency, orders, revenue_minor)
        SELECT placed_on, user_id, currency, sum(sign), sum(sign * amount_minor) FROM (
            SELECT *, (to_status = ANY(:revenue))::int - (coalesce(from_status, '') = ANY(:revenue))::int AS sign
            FROM event
        ) AS delta
        WHERE sign <> 0
        GROUP BY placed_on, user_id, currency HAVING sum(sign) <> 0 OR sum(sign * amount_minor) <> 0
        ON CONFLICT (placed_on, user_id, currency) DO UPDATE SET
            orders = daily_user_revenue.orders + excluded.orders,
            revenue_minor = daily_user_revenue.revenue_minor + excluded.revenue_minor
    )
    SELECT count(*) FROM event
    """
)

# A horizon is a transaction id and a time by which no transaction from that id on had begun: here this very transaction
# and its start. What was committed by then is folded as soon as the watermark has reached it; then a newer one is set.
_MOVE_WATERMARK = text(
    """
    UPDATE rollup_state SET
        upto = bound.upto, folded_at = clock_timestamp(),
        as_of = CASE WHEN bound.upto >= pg_current_xact_id() THEN now()
                     WHEN bound.upto >= horizon THEN horizon_at ELSE as_of END,
        horizon = CASE WHEN bound.upto >= horizon THEN pg_current_xact_id() ELSE horizon END,
        horizon_at = CASE WHEN bound.upto >= horizon THEN now() ELSE horizon_at END
    FROM (SELECT CAST(:upto AS xid8) AS upto) AS bound WHERE name = :name
    """
)


def fold(connection: Connection, limit: int = EVENTS_PER_FOLD) -> tuple[int, bool]:
    """Fold the events of ended transactions into the aggregates; returns how many, and whether more are waiting."""
    since = connection.execute(_LOCK, {"name": NAME}).scalar_one()
    bound = connection.execute(_BOUND, {"since": since, "events": limit}).one()
    folded = connection.execute(_FOLD, {"since": since, "upto": bound.upto, "revenue": sorted(REVENUE)}).scalar_one()
    connection.execute(_MOVE_WATERMARK, {"name": NAME, "upto": bound.upto})
    return folded, bound.more
