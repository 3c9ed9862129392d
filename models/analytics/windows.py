"""Windows of business days, and the revenue of users in one: whole months from their rows, edge days from theirs.

There are nearly as many rows per day and user as there are orders; of months there are many times fewer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Window:
    """Business days, both ends included; None leaves an end open."""

    first: date | None
    last: date | None


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def month_after(day: date) -> date:
    return month_of(month_of(day) + 31 * DAY)


def calendar_month(window: Window) -> date | None:
    """The month that this window is exactly, if it is one."""
    first, last = window.first, window.last
    if first is None or last is None or first.day != 1 or last + DAY != month_after(first):
        return None
    return first


# Each part by its primary key. The edges of a window without a whole month in it are all of it.
REVENUE_OF_USERS = """
    SELECT user_id, currency, sum(orders)::bigint AS orders, sum(revenue_minor) AS revenue_minor FROM (
        SELECT user_id, currency, orders, revenue_minor FROM monthly_user_revenue
        WHERE month >= :months_from AND month < :months_to
        UNION ALL
        SELECT user_id, currency, orders, revenue_minor FROM daily_user_revenue
        WHERE placed_on >= :first AND placed_on < :months_from
        UNION ALL
        SELECT user_id, currency, orders, revenue_minor FROM daily_user_revenue
        WHERE placed_on >= :months_to AND placed_on <= :last
    ) AS part
    WHERE CAST(:currency AS text) IS NULL OR currency = :currency
    GROUP BY user_id, currency HAVING sum(orders) > 0
"""


def parts(window: Window) -> Mapping[str, date]:
    """The parameters of REVENUE_OF_USERS for this window, but the currency. An open end is that of all time."""
    first, last = window.first or date.min, window.last or date.max - DAY
    months_from = first if first.day == 1 else month_after(first)
    months_to = month_of(last + DAY)
    if months_from >= months_to:
        months_from = months_to = last + DAY
    return {"first": first, "last": last, "months_from": months_from, "months_to": months_to}
