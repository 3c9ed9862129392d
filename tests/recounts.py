"""Each aggregate, and the same counted by GROUP BY over the raw orders: by other statements than the code's own."""

from collections.abc import Mapping

from world import World

IS_REVENUE = "status IN ('confirmed', 'processing', 'shipped', 'delivered')"
# What is kept, and what it has to equal.
RECOUNTS: Mapping[str, tuple[str, str]] = {
    "daily_orders": (
        "SELECT placed_on, currency, status, orders, amount_minor FROM daily_orders WHERE orders <> 0",
        "SELECT placed_on, currency, status, count(*), sum(total_minor) FROM orders GROUP BY 1, 2, 3",
    ),
    "daily_user_revenue": (
        "SELECT placed_on, user_id, currency, orders, revenue_minor FROM daily_user_revenue WHERE orders <> 0",
        f"""
        SELECT placed_on, user_id, currency, count(*), sum(total_minor) FROM orders WHERE {IS_REVENUE} GROUP BY 1, 2, 3
        """,
    ),
    "monthly_user_revenue": (
        "SELECT month, user_id, currency, orders, revenue_minor FROM monthly_user_revenue WHERE orders <> 0",
        f"""
        SELECT date_trunc('month', placed_on)::date, user_id, currency, count(*), sum(total_minor) FROM orders
        WHERE {IS_REVENUE} GROUP BY 1, 2, 3
        """,
    ),
    "daily_fulfilment": (
        "SELECT placed_on, bucket, orders FROM daily_fulfilment WHERE orders <> 0",
        """
        SELECT orders.placed_on,
            ceil(ln(greatest(extract(epoch FROM at - placed_at)::float * 1000, 1)) / ln(101::float / 99))::int, count(*)
        FROM orders JOIN order_events ON order_id = orders.id AND to_status = 'delivered' GROUP BY 1, 2
        """,
    ),
}


def rows(world: World, statement: str) -> set[tuple[object, ...]]:
    return {tuple(row) for row in world.sql(statement)}


def drifted(world: World) -> list[str]:
    """The aggregates that are not a recount of the orders, now that all events are folded."""
    return [name for name, (kept, counted) in RECOUNTS.items() if rows(world, kept) != rows(world, counted)]
