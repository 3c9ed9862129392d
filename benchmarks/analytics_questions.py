"""What the analytics' benchmark asks: of the aggregates, through the verbs, and of the raw orders."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta

from sqlalchemy import Connection, TextClause, text

from models.analytics import daily_figures, standard_windows, user_revenue
from models.analytics.standard_windows import DAYS
from models.analytics.windows import Window
from models.lifecycle import REVENUE

# The histories end here whenever it is measured, so that what was written for one run serves the next.
UNTIL = date(2026, 1, 1)
TODAY = UNTIL - timedelta(days=1)
LIMIT = 21

Question = Callable[[Connection], object]


def _last(days: int) -> Window:
    return Window(TODAY - timedelta(days=days - 1), TODAY)


def _per_day(window: Window) -> Question:
    return lambda connection: daily_figures.orders_per_day(connection, window, None, False)


def _statuses(window: Window) -> Question:
    return lambda connection: daily_figures.status_counts(connection, window, False)


def _users(window: Window, computed: user_revenue.Computed) -> Question:
    def ask(connection: Connection) -> None:
        found = user_revenue.ranking(connection, window, None, None, LIMIT)
        assert found.computed is computed, found.computed
        assert found.users

    return ask


_STANDARD, _MONTH, _LIVE = (
    user_revenue.Computed.STANDARD_WINDOW,
    user_revenue.Computed.CALENDAR_MONTH,
    user_revenue.Computed.LIVE,
)
FLAT: Mapping[str, Question] = {
    "orders per day, 30 days": _per_day(_last(30)),
    "orders per day, 365 days": _per_day(_last(365)),
    "status counts, 30 days": _statuses(_last(30)),
    "status counts, all": _statuses(Window(None, None)),
    **{
        f"revenue by user, {'all time' if days is None else f'{days} days'}": _users(
            standard_windows.window_of(standard, TODAY), _STANDARD
        )
        for standard, days in DAYS.items()
    },
    "revenue by user, November": _users(Window(date(2025, 11, 1), date(2025, 11, 30)), _MONTH),
    "revenue by user, December": _users(Window(date(2025, 12, 1), date(2025, 12, 31)), _MONTH),
}
LIVE: Mapping[str, Question] = {
    "revenue by user, 10 days, live": _users(Window(date(2025, 11, 6), date(2025, 11, 15)), _LIVE),
    "revenue by user, 45 days, live": _users(Window(date(2025, 11, 10), date(2025, 12, 24)), _LIVE),
    "revenue by user, 300 days, live": _users(Window(date(2025, 2, 15), date(2025, 12, 11)), _LIVE),
}

_RAW_DAYS = text(
    """
    SELECT placed_on, currency, count(*), sum(total_minor) FILTER (WHERE status = ANY(:revenue)) FROM orders
    WHERE placed_on BETWEEN :first AND :last GROUP BY placed_on, currency ORDER BY placed_on, currency
    """
)
_RAW_STATUSES = text("SELECT status, count(*) FROM orders WHERE placed_on BETWEEN :first AND :last GROUP BY status")
_RAW_USERS = text(
    """
    SELECT user_id, currency, count(*), sum(total_minor) FROM orders
    WHERE status = ANY(:revenue) AND placed_on BETWEEN :first AND :last
    GROUP BY user_id, currency ORDER BY sum(total_minor) DESC, user_id DESC LIMIT 21
    """
)


def _raw(statement: TextClause, window: Window) -> Question:
    asked = {"first": window.first, "last": window.last, "revenue": sorted(REVENUE)}
    return lambda connection: connection.execute(statement, asked).all()


_EVER = Window(date.min, TODAY)
RAW: Mapping[str, Question] = {
    "orders per day, 365 days": _raw(_RAW_DAYS, _last(365)),
    "status counts, all": _raw(_RAW_STATUSES, _EVER),
    "revenue by user, 30 days": _raw(_RAW_USERS, _last(30)),
    "revenue by user, 365 days": _raw(_RAW_USERS, _last(365)),
    "revenue by user, all time": _raw(_RAW_USERS, _EVER),
    "revenue by user, December": _raw(_RAW_USERS, Window(date(2025, 12, 1), TODAY)),
}
