"""What analysts ask of days: orders and revenue, statuses, and how long orders took, answered from the aggregates.

The default answer reads the aggregates alone and says as of when; `exact` adds the events behind the watermark in the
same statement, and is true at that statement's very moment. Of users: `models/analytics/user_revenue.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, Date, Text, bindparam, text

from models.analytics.aggregates import DAILY_FULFILMENT, DAILY_ORDERS, Aggregate
from models.analytics.freshness import FRESH, STATE, Freshness
from models.analytics.rollups import NAME
from models.analytics.windows import Window
from models.lifecycle import FINAL, REVENUE, Status


@dataclass(frozen=True)
class Day:
    day: date
    currency: str
    orders: int
    revenue_minor: int
    open_orders: int


@dataclass(frozen=True)
class FulfilmentDay:
    """Orders placed on a day: how many are delivered, by the bucket of the time it took, and how many still open."""

    day: date
    histogram: Mapping[int, int]
    open_orders: int


def _windowed(aggregate: Aggregate) -> str:
    """A SELECT of the aggregate's rows in the window and, for an exact answer, of the deltas that are not folded yet.

    `event` are the events behind the watermark, by ix_order_events_xid.
    """
    columns = ", ".join((*aggregate.key, *aggregate.sums))
    return f"""
        SELECT * FROM (
            SELECT {columns} FROM {aggregate.table} UNION ALL SELECT {columns} FROM ({aggregate.deltas}) AS delta
        ) AS counted
        WHERE placed_on >= coalesce(:first, '-infinity') AND placed_on <= coalesce(:last, 'infinity')
    """


_WINDOW = (bindparam("first", type_=Date), bindparam("last", type_=Date))
_STATE = f"""
    WITH {STATE},
    event AS (SELECT * FROM order_events WHERE :exact AND xid >= (SELECT upto FROM state))
"""

_PER_DAY = text(
    f"""{_STATE}
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT placed_on AS day, currency, sum(orders)::bigint AS orders,
            coalesce(sum(amount_minor) FILTER (WHERE status = ANY(:revenue)), 0) AS revenue_minor,
            coalesce(sum(orders) FILTER (WHERE status <> ALL(:final)), 0)::bigint AS open_orders
        FROM ({_windowed(DAILY_ORDERS)}) AS windowed WHERE CAST(:currency AS text) IS NULL OR currency = :currency
        GROUP BY placed_on, currency ORDER BY placed_on, currency
    ) AS answer ON true
    """
).bindparams(*_WINDOW, bindparam("currency", type_=Text))

_STATUS_COUNTS = text(
    f"""{_STATE}
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT status, sum(orders)::bigint AS orders FROM ({_windowed(DAILY_ORDERS)}) AS windowed GROUP BY status
    ) AS answer ON true
    """
).bindparams(*_WINDOW)

# Days on which orders are still open have a row without a bucket.
_FULFILMENT = text(
    f"""{_STATE}
    SELECT {FRESH}, answer.* FROM state LEFT JOIN (
        SELECT placed_on AS day, bucket, sum(orders)::bigint AS orders
        FROM ({_windowed(DAILY_FULFILMENT)}) AS delivered GROUP BY placed_on, bucket
        UNION ALL
        SELECT placed_on, NULL, sum(orders)::bigint
        FROM ({_windowed(DAILY_ORDERS)}) AS windowed WHERE status <> ALL(:final) GROUP BY placed_on
    ) AS answer ON true
    """
).bindparams(*_WINDOW)


def orders_per_day(
    connection: Connection, window: Window, currency: str | None, exact: bool
) -> tuple[Freshness, Sequence[Day]]:
    """Orders and revenue of the days that have any, by currency. `open_orders` may still change the revenue."""
    parameters = _parameters(window, exact) | {"currency": currency, "revenue": sorted(REVENUE), "final": sorted(FINAL)}
    rows = connection.execute(_PER_DAY, parameters).all()
    days = [Day(row.day, row.currency, row.orders, int(row.revenue_minor), row.open_orders) for row in rows if row.day]
    return Freshness.of(rows[0]), days


def status_counts(connection: Connection, window: Window, exact: bool) -> tuple[Freshness, dict[Status, int]]:
    """How many orders are in each status; every status is named."""
    rows = connection.execute(_STATUS_COUNTS, _parameters(window, exact)).all()
    counted = {row.status: row.orders for row in rows}
    return Freshness.of(rows[0]), {status: counted.get(status, 0) for status in Status}


def fulfilment(connection: Connection, window: Window, exact: bool) -> tuple[Freshness, Sequence[FulfilmentDay]]:
    """How long orders took from placed to delivered, on the days that have any orders that are delivered or open."""
    rows = connection.execute(_FULFILMENT, _parameters(window, exact) | {"final": sorted(FINAL)}).all()
    found = [row for row in rows if row.day]
    histograms: dict[date, dict[int, int]] = {row.day: {} for row in found}
    for row in found:
        if row.bucket is not None:
            histograms[row.day][row.bucket] = row.orders
    still_open = {row.day: row.orders for row in found if row.bucket is None}
    days = [FulfilmentDay(day, histogram, still_open.get(day, 0)) for day, histogram in sorted(histograms.items())]
    return Freshness.of(rows[0]), days


def _parameters(window: Window, exact: bool) -> dict[str, object]:
    return {"name": NAME, "exact": exact, "first": window.first, "last": window.last}
