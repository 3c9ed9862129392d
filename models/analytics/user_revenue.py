"""Who spends how much: the users of a window by revenue, and the spending of one of them by day.

Users by revenue come from where they are cheapest to have: a standard window was computed ahead, a calendar month has
an index, and everything else is added up while the caller waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Date, Numeric, Row, Text, Uuid, bindparam, text

from models.analytics.aggregates import DAILY_USER_REVENUE
from models.analytics.freshness import FRESH, STATE, Freshness
from models.analytics.rollups import NAME
from models.analytics.standard_windows import RANKS
from models.analytics.windows import REVENUE_OF_USERS, Window, calendar_month, parts


class Computed(StrEnum):
    """How the users of a window were found."""

    STANDARD_WINDOW = "standard_window"
    CALENDAR_MONTH = "calendar_month"
    LIVE = "live"


@dataclass(frozen=True)
class UserRevenue:
    user_id: UUID
    currency: str
    orders: int
    revenue_minor: int


@dataclass(frozen=True)
class Ranking:
    """A page of the users with the highest revenue, and how it was found."""

    users: Sequence[UserRevenue]
    freshness: Freshness
    computed: Computed


@dataclass(frozen=True)
class Spending:
    day: date
    currency: str
    orders: int
    revenue_minor: int


# The page behind (revenue, user, currency). Before the first page stands what is greater than every user.
_AFTER = (
    bindparam("after_revenue", type_=Numeric),
    bindparam("after_user", type_=Uuid),
    bindparam("after_currency", type_=Text),
    bindparam("currency", type_=Text),
)
_BEGINNING = UserRevenue(UUID(int=2**128 - 1), "~", 0, 0)
_INFINITE = Decimal("Infinity")
_ORDER = "ORDER BY revenue_minor DESC, user_id DESC, currency DESC LIMIT :limit"
_BEHIND = "(revenue_minor, user_id, currency) < (:after_revenue, :after_user, :after_currency)"

# A page of each currency by the primary key of top_users, whose ranks are the order of the answer: at most RANKS rows,
# and of the first page no more than it shows. A currency that has all of its ranks filled may have more users: below
# the last of them, nobody knows who is missing.
_STANDARD = text(
    f"""
    WITH standard AS (
        SELECT * FROM standard_windows WHERE last = :last AND first IS NOT DISTINCT FROM :first
    ), ranked AS (
        SELECT window_name, currency FROM top_users WHERE window_name = (SELECT name FROM standard) AND rank = 1
          AND (CAST(:currency AS text) IS NULL OR currency = :currency)
    ), depth AS (
        SELECT revenue_minor, user_id, currency FROM ranked JOIN top_users USING (window_name, currency)
        WHERE rank = {RANKS} ORDER BY revenue_minor DESC, user_id DESC, currency DESC LIMIT 1
    )
    SELECT true AS can_be_told, as_of, extract(epoch FROM now() - as_of)::float AS lag_seconds,
        EXISTS (SELECT FROM depth) AS has_depth, answer.*
    FROM standard LEFT JOIN (
        SELECT page.* FROM ranked CROSS JOIN LATERAL (
            SELECT user_id, currency, orders, revenue_minor FROM top_users AS kept
            WHERE window_name = ranked.window_name AND currency = ranked.currency AND {_BEHIND} AND NOT EXISTS (
                SELECT FROM depth WHERE (depth.revenue_minor, depth.user_id, depth.currency)
                    > (kept.revenue_minor, kept.user_id, kept.currency))
            ORDER BY rank LIMIT :limit
        ) AS page {_ORDER}
    ) AS answer ON true
    """
).bindparams(bindparam("first", type_=Date), *_AFTER)

# A page of each currency, along ix_monthly_user_revenue_month_currency_revenue_minor_user_id. Which currencies there
# are is known from the few rows of daily_orders.
_MONTH = text(
    f"""
    WITH {STATE}, of_month AS (
        SELECT DISTINCT currency FROM daily_orders
        WHERE placed_on >= :first AND placed_on <= :last AND (CAST(:currency AS text) IS NULL OR currency = :currency)
    )
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT page.* FROM of_month CROSS JOIN LATERAL (
            SELECT user_id, currency, orders, revenue_minor FROM monthly_user_revenue
            WHERE month = :first AND currency = of_month.currency AND monthly_user_revenue.orders > 0
              AND (revenue_minor, user_id) <= (:after_revenue, :after_user) AND {_BEHIND}
            ORDER BY revenue_minor DESC, user_id DESC LIMIT :limit
        ) AS page {_ORDER}
    ) AS answer ON true
    """
).bindparams(*_AFTER)

_LIVE = text(
    f"""
    WITH {STATE}
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT * FROM ({REVENUE_OF_USERS}) AS added_up WHERE {_BEHIND} {_ORDER}
    ) AS answer ON true
    """
).bindparams(*_AFTER)

# Day by day along the primary key of daily_user_revenue, which begins with the day.
_SPENDING = text(
    f"""
    WITH {STATE}, event AS (
        SELECT * FROM order_events WHERE :exact AND xid >= (SELECT upto FROM state) AND user_id = :user_id
    ), spent AS (
        SELECT kept.placed_on, kept.currency, kept.orders, kept.revenue_minor
        FROM generate_series(CAST(:first AS date), :last, interval '1 day') AS day
        CROSS JOIN LATERAL (
            SELECT * FROM daily_user_revenue WHERE placed_on = day::date AND user_id = :user_id LIMIT 200
        ) AS kept
        UNION ALL
        SELECT placed_on, currency, orders, revenue_minor FROM ({DAILY_USER_REVENUE.deltas}) AS delta
        WHERE placed_on >= :first AND placed_on <= :last
    )
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT placed_on AS day, currency, sum(orders)::bigint AS orders, sum(revenue_minor) AS revenue_minor
        FROM spent WHERE CAST(:currency AS text) IS NULL OR currency = :currency
        GROUP BY placed_on, currency HAVING sum(orders) <> 0 ORDER BY placed_on, currency
    ) AS answer ON true
    """
).bindparams(bindparam("currency", type_=Text))


def ranking(
    connection: Connection, window: Window, currency: str | None, after: UserRevenue | None, limit: int
) -> Ranking:
    """The users with the highest revenue first, from the one behind `after`."""
    values = {
        "name": NAME,
        "exact": False,
        "currency": currency,
        "after_revenue": after.revenue_minor if after else _INFINITE,
        "after_user": (after or _BEGINNING).user_id,
        "after_currency": (after or _BEGINNING).currency,
        "limit": limit,
    }
    ahead = _computed_ahead(connection, window, values, limit)
    if ahead is not None:
        return ahead
    month = calendar_month(window)
    if month is not None:
        rows = connection.execute(_MONTH, values | {"first": window.first, "last": window.last}).all()
        return _ranking(rows, Computed.CALENDAR_MONTH)
    return _ranking(connection.execute(_LIVE, {**values, **parts(window)}).all(), Computed.LIVE)


def _computed_ahead(connection: Connection, window: Window, values: dict[str, object], limit: int) -> Ranking | None:
    """The page of a standard window, if the window is one and the page ends above what was kept of it."""
    rows = connection.execute(_STANDARD, values | {"first": window.first, "last": window.last}).all()
    if not rows:
        return None
    found = _ranking(rows, Computed.STANDARD_WINDOW)
    return None if rows[0].has_depth and len(found.users) < limit else found


def _ranking(rows: Sequence[Row[Any]], computed: Computed) -> Ranking:
    users = [UserRevenue(row.user_id, row.currency, row.orders, int(row.revenue_minor)) for row in rows if row.user_id]
    return Ranking(users, Freshness.of(rows[0]), computed)


def spending(
    connection: Connection, user_id: UUID, window: Window, currency: str | None, exact: bool
) -> tuple[Freshness, Sequence[Spending]]:
    """What a user's orders that count as revenue come to, on the days that have any, by currency."""
    parameters = {"name": NAME, "user_id": user_id, "currency": currency, "exact": exact}
    rows = connection.execute(_SPENDING, parameters | {"first": window.first, "last": window.last}).all()
    days = [Spending(row.day, row.currency, row.orders, int(row.revenue_minor)) for row in rows if row.day]
    return Freshness.of(rows[0]), days
