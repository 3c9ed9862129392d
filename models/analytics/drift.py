"""The audit: are the aggregates of a day what its events add up to? What is not is a number, and is put right.

Whoever audits holds the watermark's lock, so that no fold changes the aggregates meanwhile, and the events below the
watermark never change: what is compared is one moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from models.analytics.aggregates import (
    DAILY_FULFILMENT,
    DAILY_ORDERS,
    DAILY_USER_REVENUE,
    MONTHLY_USER_REVENUE,
    Aggregate,
    corrected,
    counted,
    wrong,
)
from models.analytics.rollups import NAME, UntrustedWatermark, is_trusted, lock
from models.analytics.windows import DAY, month_of


@dataclass(frozen=True)
class Drift:
    """How many rows of an aggregate were wrong on a day (of a month: on the first of it)."""

    day: date
    table: str
    rows: int


@dataclass(frozen=True)
class Part:
    """A day, or a month by its first day: the SELECT of its events, and of what each aggregate should say of it."""

    day: date
    events: str
    recounts: Sequence[tuple[Aggregate, str]]


_DAILY = (DAILY_ORDERS, DAILY_USER_REVENUE, DAILY_FULFILMENT)
# The orders say which days there are, and not the aggregates alone: they may have lost some. Rows of days that have no
# orders are looked at, too. An order's day in its zone is that of UTC or one beside it, and a row of a month is looked
# at with any day of it. Leans on ix_orders_placed_at_id and the primary keys of the aggregates.
_KNOWN = f"""(
    SELECT min(first) AS first, max(last) AS last FROM (
        SELECT (min(placed_at) AT TIME ZONE 'UTC')::date - 1 AS first,
            (max(placed_at) AT TIME ZONE 'UTC')::date + 1 AS last FROM orders
        UNION ALL SELECT (min(month) + interval '1 month')::date - 1, max(month) FROM {MONTHLY_USER_REVENUE.table}
        {" ".join(f"UNION ALL SELECT min(placed_on), max(placed_on) FROM {each.table}" for each in _DAILY)}
    ) AS part) AS known"""

_TO_AUDIT = text(f"SELECT first + floor(random() * (:yesterday - first))::int FROM {_KNOWN} WHERE first < :yesterday")

_EVERY_DAY = text(f"SELECT day::date FROM {_KNOWN}, generate_series(first, last, interval '1 day') AS day")

_NOTE_AUDIT = text(
    """
    UPDATE rollup_state SET audited_at = clock_timestamp(), drift = :drift,
        drifted_at = CASE WHEN :drift > 0 THEN clock_timestamp() ELSE drifted_at END
    WHERE name = :name
    """
)

# Leans on ix_order_events_placed_on. The watermark is compared behind a fence (OFFSET): PostgreSQL guesses that it cuts
# off a part of the table, and would rather read the rest of it along ix_order_events_xid.
_OF_DAY = """
    SELECT * FROM (SELECT * FROM order_events WHERE placed_on = :day OFFSET 0) AS of_day
    WHERE xid < (SELECT upto FROM rollup_state WHERE name = :name)
"""
_NO_EVENTS = "SELECT * FROM order_events WHERE false"
# A month is not counted event by event: its days are audited themselves.
_OF_MONTH = """
    SELECT date_trunc('month', placed_on)::date AS month, user_id, currency, sum(orders) AS orders,
        sum(revenue_minor) AS revenue_minor
    FROM daily_user_revenue WHERE placed_on >= :day AND placed_on < :day + interval '1 month'
    GROUP BY 1, 2, 3 HAVING sum(orders) <> 0 OR sum(revenue_minor) <> 0
"""


def days_to_audit(connection: Connection, today: date) -> list[date]:
    """Yesterday, and any day before it; of a system that is younger, what there is."""
    yesterday = today - DAY
    other = connection.execute(_TO_AUDIT, {"yesterday": yesterday}).scalar_one_or_none()
    return [yesterday] if other is None else [yesterday, other]


def every_day(connection: Connection) -> list[date]:
    """Every day from the first to the last on which orders may have been placed, or an aggregate says so."""
    return list(connection.execute(_EVERY_DAY).scalars())


def audit(connection: Connection, days: Sequence[date], *, repair: bool = True) -> list[Drift]:
    """Compare these days, and their months, with a recount; what is wrong is returned, noted and, if asked, put right.

    Raises:
        UntrustedWatermark: there is nothing to compare with before the aggregates are rebuilt.
    """
    found = [each for part in parts(days) for each in compare(connection, part, repair=repair)]
    note(connection, found)
    return found


def parts(days: Sequence[date]) -> list[Part]:
    """What an audit of these days compares, one after the other: each day, and then, once, each of their months."""
    days_of_each = [Part(day, _OF_DAY, tuple((each, counted(each)) for each in _DAILY)) for day in days]
    months = sorted({month_of(day) for day in days})
    return [*days_of_each, *(Part(month, _NO_EVENTS, ((MONTHLY_USER_REVENUE, _OF_MONTH),)) for month in months)]


def compare(connection: Connection, part: Part, *, repair: bool) -> list[Drift]:
    """A part of an audit, which may be a transaction of its own.

    Raises:
        UntrustedWatermark: there is nothing to compare with before the aggregates are rebuilt.
    """
    lock(connection)
    if not is_trusted(connection):
        raise UntrustedWatermark(UntrustedWatermark.__doc__)
    found = [_compare(connection, each, part, recount, repair) for each, recount in part.recounts]
    return [each for each in found if each.rows]


def note(connection: Connection, drift: Sequence[Drift]) -> None:
    """Remember what the whole of an audit has found."""
    connection.execute(_NOTE_AUDIT, {"drift": sum(each.rows for each in drift), "name": NAME})


def _compare(connection: Connection, aggregate: Aggregate, part: Part, recount: str, repair: bool) -> Drift:
    kept = f"SELECT * FROM {aggregate.table} WHERE {aggregate.period} = :day"
    found = wrong(aggregate, kept, recount)
    repaired = f", repaired AS ({corrected(aggregate, 'SELECT * FROM wrong')})" if repair else ""
    statement = text(
        f"WITH event AS ({part.events}), wrong AS MATERIALIZED ({found}){repaired} SELECT count(*) FROM wrong"
    )
    rows = connection.execute(statement, {"day": part.day, "name": NAME}).scalar_one()
    return Drift(part.day, aggregate.table, rows)
