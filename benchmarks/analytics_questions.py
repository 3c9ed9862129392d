"""What the analytics' benchmark asks: of the API, of the database in the API's words, and of the raw orders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from sqlalchemy import Connection, TextClause, text

from models.analytics import daily_figures, standard_windows, user_revenue
from models.analytics.standard_windows import DAYS, StandardWindow
from models.analytics.user_revenue import Computed
from models.analytics.windows import Window
from models.lifecycle import REVENUE

# The histories end here whenever it is measured, so that what was written for one run serves the next.
UNTIL = date(2026, 1, 1)
LAST_DAY = UNTIL - timedelta(days=1)
LIMIT = 21


@dataclass(frozen=True)
class Question:
    """`path`: what an analyst asks the API. `verb`: what the API asks the database then. `computed`: from what."""

    path: str
    verb: Callable[[Connection], object]
    computed: Computed | None = None


def _last(days: int) -> Window:
    return Window(LAST_DAY - timedelta(days=days - 1), LAST_DAY)


def _path(endpoint: str, window: Window, /, **more: object) -> str:
    named = {"from": window.first, "to": window.last, **more}
    return f"/v1/analytics/{endpoint}?{urlencode({name: value for name, value in named.items() if value is not None})}"


def _per_day(window: Window) -> Question:
    return Question(
        _path("orders-per-day", window),
        lambda connection: daily_figures.orders_per_day(connection, window, None, False),
    )


def _statuses(window: Window) -> Question:
    return Question(
        _path("status-counts", window), lambda connection: daily_figures.status_counts(connection, window, False)
    )


def _users(window: Window, computed: Computed, path: str | None = None) -> Question:
    def ask(connection: Connection) -> None:
        found = user_revenue.ranking(connection, window, None, None, LIMIT)
        assert found.computed is computed, found.computed
        assert found.users

    return Question(path or _path("revenue-by-user", window, limit=LIMIT - 1), ask, computed)


def _of_all_time(today: date) -> Question:
    """The one window that only its name asks for, and that ends today, whenever the history did."""
    path = _path("revenue-by-user", Window(None, None), window=StandardWindow.ALL_TIME, limit=LIMIT - 1)
    return _users(standard_windows.window_of(StandardWindow.ALL_TIME, today), Computed.STANDARD_WINDOW, path)


def flat_questions(today: date) -> Mapping[str, Question]:
    """What must not depend on how many orders there are."""
    return {
        "orders per day, 30 days": _per_day(_last(30)),
        "orders per day, 365 days": _per_day(_last(365)),
        "status counts, 30 days": _statuses(_last(30)),
        "status counts, all": _statuses(Window(None, None)),
        **{
            f"revenue by user, {days} days": _users(
                standard_windows.window_of(each, LAST_DAY), Computed.STANDARD_WINDOW
            )
            for each, days in DAYS.items()
            if days is not None
        },
        "revenue by user, all time": _of_all_time(today),
        "revenue by user, November": _users(Window(date(2025, 11, 1), date(2025, 11, 30)), Computed.CALENDAR_MONTH),
        "revenue by user, December": _users(Window(date(2025, 12, 1), date(2025, 12, 31)), Computed.CALENDAR_MONTH),
    }


# What may depend on it, with its time.
LIVE: Mapping[str, Question] = {
    "revenue by user, 10 days, live": _users(Window(date(2025, 11, 6), date(2025, 11, 15)), Computed.LIVE),
    "revenue by user, 45 days, live": _users(Window(date(2025, 11, 10), date(2025, 12, 24)), Computed.LIVE),
    "revenue by user, 300 days, live": _users(Window(date(2025, 2, 15), date(2025, 12, 11)), Computed.LIVE),
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


def _raw(statement: TextClause, window: Window) -> Callable[[Connection], object]:
    asked = {"first": window.first, "last": window.last, "revenue": sorted(REVENUE)}
    return lambda connection: connection.execute(statement, asked).all()


_EVER = Window(date.min, LAST_DAY)
RAW: Mapping[str, Callable[[Connection], object]] = {
    "orders per day, 365 days": _raw(_RAW_DAYS, _last(365)),
    "status counts, all": _raw(_RAW_STATUSES, _EVER),
    "revenue by user, 30 days": _raw(_RAW_USERS, _last(30)),
    "revenue by user, 365 days": _raw(_RAW_USERS, _last(365)),
    "revenue by user, all time": _raw(_RAW_USERS, _EVER),
    "revenue by user, December": _raw(_RAW_USERS, Window(date(2025, 12, 1), LAST_DAY)),
}
