"""The aggregates: their tables, and what each of them is, as data.

An aggregate is one SELECT of signed deltas over `event`, a set of rows of `order_events`, grouped by the table's key
and summed. The fold, exact answers, the audit, a rebuild and `orders check` all count with these same deltas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Date, Integer, Numeric, Table, Text, Uuid, text

from models.analytics.fulfilment import BUCKET
from models.lifecycle import REVENUE, Status
from models.metadata import index, metadata, one_of

# An order fits a bigint by far; a sum of ten thousand of the largest ones would not.
Sum = Numeric(38, 0)

daily_orders = Table(
    "daily_orders",
    metadata,
    Column("placed_on", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("orders", BigInteger, nullable=False),
    Column("amount_minor", Sum, nullable=False),
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
    Column("revenue_minor", Sum, nullable=False),
    comment="orders that count as revenue, and their totals, by day placed and user",
    postgresql_with={"fillfactor": 80},
)

monthly_user_revenue = Table(
    "monthly_user_revenue",
    metadata,
    Column("month", Date, primary_key=True, comment="its first day"),
    Column("user_id", Uuid, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("revenue_minor", Sum, nullable=False),
    index(
        "ix_monthly_user_revenue_month_currency_revenue_minor_user_id",
        "month",
        "currency",
        "revenue_minor",
        "user_id",
        postgresql_where=text("orders > 0"),
        serves="the users of a calendar month by revenue",
    ),
    comment="daily_user_revenue by calendar month",
    postgresql_with={"fillfactor": 80},
)

daily_fulfilment = Table(
    "daily_fulfilment",
    metadata,
    Column("placed_on", Date, primary_key=True),
    Column(
        "bucket",
        Integer,
        primary_key=True,
        comment="of the time from placed to delivered: grows by a constant factor",
    ),
    Column("orders", BigInteger, nullable=False),
    comment="delivered orders by day placed and how long they took: a histogram",
    postgresql_with={"fillfactor": 80},
)


@dataclass(frozen=True)
class Aggregate:
    """`deltas`: a SELECT of the columns of `key` and `sums` from `event`. `period`: the column that says when."""

    table: str
    key: Sequence[str]
    sums: Sequence[str]
    deltas: str

    @property
    def period(self) -> str:
        return self.key[0]


_REVENUE = ", ".join(f"'{status}'" for status in sorted(REVENUE))
# 1 where an order begins to count as revenue, -1 where it ceases to.
_SIGNED = f"""
    SELECT *, (to_status IN ({_REVENUE}))::int - (coalesce(from_status, '') IN ({_REVENUE}))::int AS sign FROM event
"""

DAILY_ORDERS = Aggregate(
    "daily_orders",
    ("placed_on", "currency", "status"),
    ("orders", "amount_minor"),
    """
    SELECT placed_on, currency, to_status AS status, 1 AS orders, amount_minor FROM event
    UNION ALL
    SELECT placed_on, currency, from_status, -1, -amount_minor FROM event WHERE from_status IS NOT NULL
    """,
)
DAILY_USER_REVENUE = Aggregate(
    "daily_user_revenue",
    ("placed_on", "user_id", "currency"),
    ("orders", "revenue_minor"),
    f"""
    SELECT placed_on, user_id, currency, sign AS orders, sign * amount_minor AS revenue_minor
    FROM ({_SIGNED}) AS signed WHERE sign <> 0
    """,
)
MONTHLY_USER_REVENUE = Aggregate(
    "monthly_user_revenue",
    ("month", "user_id", "currency"),
    ("orders", "revenue_minor"),
    f"""
    SELECT date_trunc('month', placed_on)::date AS month, user_id, currency, sign AS orders,
        sign * amount_minor AS revenue_minor
    FROM ({_SIGNED}) AS signed WHERE sign <> 0
    """,
)
# The one aggregate that has to look at something else than the event: an order's own time. Each is looked up by its
# primary key: a join might read all orders there are.
_PLACED_AT = "(SELECT placed_at FROM orders WHERE id = event.order_id)"
DAILY_FULFILMENT = Aggregate(
    "daily_fulfilment",
    ("placed_on", "bucket"),
    ("orders",),
    f"""
    SELECT placed_on, {BUCKET.format(taken=f"at - {_PLACED_AT}")} AS bucket, 1 AS orders
    FROM event WHERE to_status = '{Status.DELIVERED}'
    """,
)

AGGREGATES = (DAILY_ORDERS, DAILY_USER_REVENUE, MONTHLY_USER_REVENUE, DAILY_FULFILMENT)


def counted(aggregate: Aggregate) -> str:
    """A SELECT of what the events in `event` add up to: rows by key, without those that come to nothing."""
    key = ", ".join(aggregate.key)
    sums = ", ".join(f"sum({name}) AS {name}" for name in aggregate.sums)
    is_something = " OR ".join(f"sum({name}) <> 0" for name in aggregate.sums)
    return f"SELECT {key}, {sums} FROM ({aggregate.deltas}) AS delta GROUP BY {key} HAVING {is_something}"


def added(aggregate: Aggregate, rows: str, into: str | None = None) -> str:
    """An INSERT that adds `rows`, a SELECT of key and sums, to the aggregate (or to a table that is like it)."""
    table = into or aggregate.table
    values = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in aggregate.sums)
    return _upserted(aggregate, rows, table, values)


def corrected(aggregate: Aggregate, rows: str) -> str:
    """An INSERT that makes the aggregate say what `rows` say."""
    values = ", ".join(f"{name} = excluded.{name}" for name in aggregate.sums)
    return _upserted(aggregate, rows, aggregate.table, values)


def wrong(aggregate: Aggregate, kept: str, recount: str) -> str:
    """A SELECT of the rows of `kept` that differ from `recount`, with the sums that are right (0 where there are none).

    Beside each sum stands what is kept instead, as `kept_…`.
    """
    key = ", ".join(aggregate.key)
    sums = ", ".join(
        f"coalesce(recount.{name}, 0) AS {name}, coalesce(kept.{name}, 0) AS kept_{name}" for name in aggregate.sums
    )
    differs = " OR ".join(f"coalesce(kept.{name}, 0) <> coalesce(recount.{name}, 0)" for name in aggregate.sums)
    return f"""
        SELECT {key}, {sums} FROM ({kept}) AS kept FULL JOIN ({recount}) AS recount USING ({key}) WHERE {differs}
    """


def _upserted(aggregate: Aggregate, rows: str, table: str, values: str) -> str:
    key, columns = ", ".join(aggregate.key), ", ".join((*aggregate.key, *aggregate.sums))
    return f"""
        INSERT INTO {table} ({columns}) SELECT {columns} FROM ({rows}) AS found
        ON CONFLICT ({key}) DO UPDATE SET {values}
    """
