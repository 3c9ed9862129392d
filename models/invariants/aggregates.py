"""Invariants of aggregates: they are a recount of the events below their watermark, in the same snapshot (G6)."""

from models.invariants.invariant import Invariant

WATERMARK = Invariant(
    "watermark",
    "G6",
    "neither the watermark nor any event is of a transaction that has yet to begin",
    'The database is a restored dump: its transaction ids are another cluster\'s. See "Back up" in docs/operations.md.',
    """
    SELECT 'rollup ' || name || ' upto ' || upto FROM rollup_state WHERE upto > pg_snapshot_xmax(pg_current_snapshot())
    UNION ALL
    SELECT order_id || ' v' || version FROM order_events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
    """,
)

DAILY_ORDERS = Invariant(
    "daily-orders",
    "G6",
    "daily_orders is a recount of the events below the watermark",
    'Something besides the fold wrote the aggregates, or the events. Rebuild them: the statements of "Back up".',
    """
    SELECT concat_ws(' ', placed_on, currency, status) || ': ' || coalesce(kept.orders, 0) || ' orders of '
        || coalesce(kept.amount_minor, 0) || ', counted ' || coalesce(counted.orders, 0) || ' of '
        || coalesce(counted.amount_minor, 0)
    FROM daily_orders AS kept
    FULL JOIN (
        SELECT placed_on, currency, status, sum(sign * orders) AS orders, sum(sign * amount_minor) AS amount_minor
        FROM (SELECT placed_on, currency, from_status, to_status, count(*) AS orders, sum(amount_minor) AS amount_minor
              FROM order_events WHERE xid < (SELECT upto FROM rollup_state WHERE name = 'orders')
              GROUP BY placed_on, currency, from_status, to_status) AS moved,
            LATERAL (VALUES (to_status, 1), (from_status, -1)) AS ends(status, sign)
        WHERE status IS NOT NULL GROUP BY placed_on, currency, status
    ) AS counted USING (placed_on, currency, status)
    WHERE coalesce(kept.orders, 0) <> coalesce(counted.orders, 0)
        OR coalesce(kept.amount_minor, 0) <> coalesce(counted.amount_minor, 0)
    """,
)

DAILY_USER_REVENUE = Invariant(
    "daily-user-revenue",
    "G6",
    "daily_user_revenue is a recount of the events below the watermark",
    'Something besides the fold wrote the aggregates, or the events. Rebuild them: the statements of "Back up".',
    """
    SELECT concat_ws(' ', placed_on, user_id, currency) || ': ' || coalesce(kept.orders, 0) || ' orders of '
        || coalesce(kept.revenue_minor, 0) || ', counted ' || coalesce(counted.orders, 0) || ' of '
        || coalesce(counted.revenue_minor, 0)
    FROM daily_user_revenue AS kept
    FULL JOIN (
        SELECT placed_on, user_id, currency, sum(sign) AS orders, sum(sign * amount_minor) AS revenue_minor
        FROM (SELECT *, (to_status = ANY(:revenue))::int - (coalesce(from_status, '') = ANY(:revenue))::int AS sign
              FROM order_events WHERE xid < (SELECT upto FROM rollup_state WHERE name = 'orders')) AS e
        WHERE sign <> 0 GROUP BY placed_on, user_id, currency
    ) AS counted USING (placed_on, user_id, currency)
    WHERE coalesce(kept.orders, 0) <> coalesce(counted.orders, 0)
        OR coalesce(kept.revenue_minor, 0) <> coalesce(counted.revenue_minor, 0)
    """,
)

INVARIANTS = (WATERMARK, DAILY_ORDERS, DAILY_USER_REVENUE)
