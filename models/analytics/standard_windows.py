"""The standard windows, and the users with the highest revenue in each, computed ahead by a worker, on the timetable.

Adding up a year of millions of orders takes seconds; here it is done once for everybody who asks, and never for more
than a small share of the time.
"""

from datetime import date, timedelta
from enum import StrEnum

from sqlalchemy import Column, Connection, Date, Integer, Interval, Table, Text, Uuid, bindparam, text

from models.analytics.aggregates import Sum
from models.analytics.rollups import NAME
from models.analytics.windows import REVENUE_OF_USERS, Window, parts
from models.metadata import Instant, metadata, one_of

RANKS = 1000
# A window is computed anew after so long, and after so many times as long as it took.
REST_MIN = timedelta(seconds=5)
REST_FACTOR = 50


class StandardWindow(StrEnum):
    DAYS_7 = "7d"
    DAYS_30 = "30d"
    DAYS_90 = "90d"
    DAYS_365 = "365d"
    ALL_TIME = "all"


DAYS = {
    StandardWindow.DAYS_7: 7,
    StandardWindow.DAYS_30: 30,
    StandardWindow.DAYS_90: 90,
    StandardWindow.DAYS_365: 365,
    StandardWindow.ALL_TIME: None,
}

standard_windows = Table(
    "standard_windows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("first", Date, comment="null: since ever"),
    Column("last", Date, nullable=False, comment="the business day on which it was computed"),
    Column("as_of", Instant, nullable=False, comment="of the aggregates it was computed from"),
    Column("computed_at", Instant, nullable=False),
    Column("took", Interval, nullable=False),
    one_of("name", StandardWindow),
    comment="what top_users was computed for, and when",
)

top_users = Table(
    "top_users",
    metadata,
    Column("window_name", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("revenue_minor", Sum, nullable=False),
    one_of("window_name", StandardWindow),
    comment="the users with the highest revenue of each standard window, the highest first",
)

# Those whose day is over first: nobody asks for yesterday's window any more.
_DUE = text(
    """
    SELECT known.name FROM unnest(CAST(:names AS text[])) AS known (name) LEFT JOIN standard_windows AS s USING (name)
    WHERE s.name IS NULL OR s.last <> :today OR s.computed_at > now()
        OR s.computed_at + greatest(:rest_min, :rest_factor * s.took) <= now()
    ORDER BY s.last = :today NULLS FIRST, s.computed_at NULLS FIRST
    """
).bindparams(bindparam("rest_min", type_=Interval))

_FORGET = text("DELETE FROM top_users WHERE window_name = :name")

_FIND = text(
    f"""
    INSERT INTO top_users (window_name, currency, rank, user_id, orders, revenue_minor)
    SELECT :name, currency, rank, user_id, orders, revenue_minor FROM (
        SELECT *, row_number() OVER (PARTITION BY currency ORDER BY revenue_minor DESC, user_id DESC) AS rank
        FROM ({REVENUE_OF_USERS}) AS added_up
    ) AS ranked WHERE rank <= :ranks
    """
)

_NOTE = text(
    """
    INSERT INTO standard_windows (name, first, last, as_of, computed_at, took)
    VALUES (:name, :first, :last, :as_of, clock_timestamp(), clock_timestamp() - CAST(:began AS timestamptz))
    ON CONFLICT (name) DO UPDATE SET first = excluded.first, last = excluded.last, as_of = excluded.as_of,
        computed_at = excluded.computed_at, took = excluded.took
    """
).bindparams(bindparam("first", type_=Date))

_NOW = text("SELECT clock_timestamp() AS began, as_of FROM rollup_state WHERE name = :name")


def window_of(standard: StandardWindow, today: date) -> Window:
    """The days of a standard window: so many, of which today is the last. For all time, everything."""
    days = DAYS[standard]
    return Window(None if days is None else today - timedelta(days=days - 1), today)


def due(connection: Connection, today: date) -> list[StandardWindow]:
    """The windows that are to be computed now, the most urgent first."""
    values = {"names": list(DAYS), "today": today, "rest_min": REST_MIN, "rest_factor": REST_FACTOR}
    return [StandardWindow(name) for name in connection.execute(_DUE, values).scalars()]


def compute(connection: Connection, standard: StandardWindow, today: date) -> None:
    """Find the users with the highest revenue of a standard window, per currency, and keep them."""
    window = window_of(standard, today)
    # Asked first: what is added up then is as of this moment, or later.
    now = connection.execute(_NOW, {"name": NAME}).one()
    connection.execute(_FORGET, {"name": standard})
    # All time ends with the last month there is, and has no edges.
    days = parts(Window(None, None) if window.first is None else window)
    connection.execute(_FIND, {"name": standard, "ranks": RANKS, "currency": None, **days})
    values = {"name": standard, "first": window.first, "last": today, "as_of": now.as_of, "began": now.began}
    connection.execute(_NOTE, values)
