"""What analysts ask, answered from the aggregates.

The default answer reads the aggregates alone and says as of when; `exact` adds the events behind the watermark in the
same statement, and is true at that statement's very moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Connection, Date, Text, Uuid, bindparam, text

from models.lifecycle import FINAL, REVENUE, Status
from models.rollups import NAME


@dataclass(frozen=True)
class Freshness:
    as_of: datetime
    lag_seconds: float


@dataclass(frozen=True)
class Window:
    """Business days, both ends included; None leaves an end open."""

    first: date | None
    last: date | None


@dataclass(frozen=True)
class Day:
    day: date
    currency: str
    orders: int
    revenue_minor: int
    open_orders: int


@dataclass(frozen=True)
class UserRevenue:
    user_id: UUID
    currency: str
    orders: int
    revenue_minor: int


_WINDOW = (bindparam("first", type_=Date), bindparam("last", type_=Date))

# `tail` are the events that are not folded yet: their signed deltas, by ix_order_events_xid.
_COUNTED = """
    WITH state AS (SELECT * FROM rollup_state WHERE name = :name),
    tail AS (
        SELECT * FROM order_events WHERE :exact AND xid >= (SELECT upto FROM state)
    ), counted AS (
        SELECT placed_on, currency, status, orders, amount_minor FROM daily_orders
        UNION ALL SELECT placed_on, currency, to_status, 1, amount_minor FROM tail
        UNION ALL SELECT placed_on, currency, from_status, -1, -amount_minor FROM tail WHERE from_status IS NOT NULL
    ), windowed AS (
        SELECT * FROM counted
        WHERE placed_on >= coalesce(:first, '-infinity') AND placed_on <= coalesce(:last, 'infinity')
    )
"""

_FRESH = """CASE WHEN :exact THEN now() ELSE state.as_of END AS as_of,
    CASE WHEN :exact THEN 0 ELSE extract(epoch FROM now() - state.as_of)::float END AS lag_seconds"""

_PER_DAY = text(
    f"""{_COUNTED}
    SELECT {_FRESH}, answer.* FROM state LEFT JOIN (
        SELECT placed_on AS day, currency, sum(orders)::bigint AS orders,
            coalesce(sum(amount_minor) FILTER (WHERE status = ANY(:revenue)), 0)::bigint AS revenue_minor,
            coalesce(sum(orders) FILTER (WHERE status <> ALL(:final)), 0)::bigint AS open_orders
        FROM windowed WHERE CAST(:currency AS text) IS NULL OR currency = :currency
        GROUP BY placed_on, currency ORDER BY placed_on, currency
    ) AS answer ON true
    """
).bindparams(*_WINDOW, bindparam("currency", type_=Text))

_STATUS_COUNTS = text(
    f"""{_COUNTED}
    SELECT {_FRESH}, answer.* FROM state LEFT JOIN (
        SELECT status, sum(orders)::bigint AS orders FROM windowed GROUP BY status
    ) AS answer ON true
    """
).bindparams(*_WINDOW)

# Keyset: the page after (revenue, user, currency). Summed over the window's days; the standard windows come later.
_REVENUE_BY_USER = (
    text(
        f"""
    WITH state AS (SELECT * FROM rollup_state WHERE name = :name)
    SELECT {_FRESH}, answer.* FROM state LEFT JOIN (
        SELECT user_id, currency, sum(orders)::bigint AS orders, sum(revenue_minor)::bigint AS revenue_minor
        FROM daily_user_revenue
        WHERE placed_on >= coalesce(:first, '-infinity') AND placed_on <= coalesce(:last, 'infinity')
          AND (CAST(:currency AS text) IS NULL OR currency = :currency)
        GROUP BY user_id, currency
        HAVING sum(orders) > 0 AND (CAST(:after_user AS uuid) IS NULL
            OR (sum(revenue_minor), user_id, currency) < (:after_revenue, :after_user, :after_currency))
        ORDER BY sum(revenue_minor) DESC, user_id DESC, currency DESC LIMIT :limit
    ) AS answer ON true
    """
    )
    .bindparams(*_WINDOW, *(bindparam(name, type_=Text) for name in ("currency", "after_currency")))
    .bindparams(bindparam("after_user", type_=Uuid))
)


def orders_per_day(
    connection: Connection, window: Window, currency: str | None, exact: bool
) -> tuple[Freshness, Sequence[Day]]:
    """Orders and revenue of the days that have any, by currency. `open_orders` may still change the revenue."""
    parameters = {"name": NAME, "exact": exact, "first": window.first, "last": window.last, "currency": currency}
    rows = connection.execute(_PER_DAY, parameters | {"revenue": sorted(REVENUE), "final": sorted(FINAL)}).all()
    days = [Day(row.day, row.currency, row.orders, row.revenue_minor, row.open_orders) for row in rows if row.day]
    return Freshness(rows[0].as_of, rows[0].lag_seconds), days


def status_counts(connection: Connection, window: Window, exact: bool) -> tuple[Freshness, dict[Status, int]]:
    """How many orders are in each status; every status is named."""
    parameters = {"name": NAME, "exact": exact, "first": window.first, "last": window.last}
    rows = connection.execute(_STATUS_COUNTS, parameters).all()
    counted = {row.status: row.orders for row in rows}
    return Freshness(rows[0].as_of, rows[0].lag_seconds), {status: counted.get(status, 0) for status in Status}


def revenue_by_user(
    connection: Connection, window: Window, currency: str | None, after: UserRevenue | None, limit: int
) -> tuple[Freshness, Sequence[UserRevenue]]:
    """The users with the highest revenue first, from the one behind `after`."""
    parameters = {
        "name": NAME,
        "exact": False,
        "first": window.first,
        "last": window.last,
        "currency": currency,
        "after_user": after.user_id if after else None,
        "after_revenue": after.revenue_minor if after else None,
        "after_currency": after.currency if after else None,
        "limit": limit,
    }
    rows = connection.execute(_REVENUE_BY_USER, parameters).all()
    found = [UserRevenue(row.user_id, row.currency, row.orders, row.revenue_minor) for row in rows if row.user_id]
    return Freshness(rows[0].as_of, rows[0].lag_seconds), found
