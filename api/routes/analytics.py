"""What analysts ask. The answers come from the daily aggregates and say as of when they are true."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api import malformed, paging, sheets
from api.access import SeesAnalytics
from api.aggregate_views import (
    DayView,
    FreshView,
    OrdersPerDayView,
    RevenueByUserView,
    StatusCountsView,
    UserRevenueView,
)
from api.dependencies import OurServices
from api.forms import AS_A_DAY, Currency
from api.json_bodies import JsonRoute
from api.openapi import refusals
from api.paging import Cursor, Limit
from models import analytics, errors
from models.analytics import Day, UserRevenue, Window
from runtime import clock

router = APIRouter(prefix="/v1/analytics", tags=["analytics"], route_class=JsonRoute)

WINDOW_DAYS_DEFAULT = 30
WINDOW_DAYS_MAX = 366
# The currency of days on which nothing was ordered, when the caller names none.
CURRENCY_DEFAULT = "EUR"
EARLIEST, LATEST = date(1970, 1, 1), date(2200, 1, 1)

From = Annotated[date | None, Query(alias="from", ge=EARLIEST, le=LATEST, description="first business day"), AS_A_DAY]
To = Annotated[
    date | None, Query(alias="to", ge=EARLIEST, le=LATEST, description="last business day, included"), AS_A_DAY
]
OneCurrency = Annotated[Currency | None, Query()]


async def _open_window(first: From = None, last: To = None) -> Window:
    """Days as given; an end that is not given is open."""
    if first is not None and last is not None and first > last:
        raise errors.InvalidRequest(flaws=[errors.Flaw("to", "window", "`to` is before `from`.")])
    return Window(first, last)


OpenWindow = Annotated[Window, Depends(_open_window)]


async def _window(services: OurServices, given: OpenWindow) -> Window:
    """A bounded window: what is not given is chosen so that it has 30 days, today being the last one."""
    first, last = given.first, given.last
    days = timedelta(days=WINDOW_DAYS_DEFAULT - 1)
    last = last or (first + days if first else clock.business_day(clock.now(), services.settings.zone))
    first = first or last - days
    if (last - first).days >= WINDOW_DAYS_MAX:
        raise errors.InvalidRequest(
            flaws=[errors.Flaw("from", "window", f"The window is longer than {WINDOW_DAYS_MAX} days.")]
        )
    return Window(first, last)


OneWindow = Annotated[Window, Depends(_window)]


@router.get("/orders-per-day", responses={200: {"content": {"text/csv": {}}}}, response_model=OrdersPerDayView)
async def orders_per_day(
    caller: SeesAnalytics,
    request: Request,
    services: OurServices,
    window: OneWindow,
    currency: OneCurrency = None,
    exact: bool = False,
) -> OrdersPerDayView | Response:
    """Orders and revenue by the day they were placed; days without orders are there, as zeros."""
    freshness, counted = await services.database.run(analytics.orders_per_day, window, currency, exact)
    today = clock.business_day(freshness.as_of, services.settings.zone)
    days = [DayView.of(day, today) for day in _every_day(window, counted, currency)]
    if "text/csv" in request.headers.get("accept", ""):
        return Response(_sheet(days), media_type=sheets.MEDIA_TYPE)
    return OrdersPerDayView(data=days, **FreshView.fields_of(freshness))


@router.get("/revenue-by-user", responses=refusals(malformed.InvalidCursor))
async def revenue_by_user(
    caller: SeesAnalytics,
    request: Request,
    response: Response,
    services: OurServices,
    window: OneWindow,
    currency: OneCurrency = None,
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> RevenueByUserView:
    """The users with the highest revenue first."""
    cursors = paging.cursors(request, services, caller)
    after = _user_revenue(cursors.read(cursor)) if cursor is not None else None
    freshness, found = await services.database.run(analytics.revenue_by_user, window, currency, after, limit + 1)
    page, following = paging.cut(
        found, limit, lambda each: cursors.write(str(each.user_id), each.currency, each.revenue_minor)
    )
    paging.link_next(request, response, following)
    return RevenueByUserView(
        data=[UserRevenueView.of(each) for each in page],
        has_more=bool(following),
        next_cursor=following,
        **FreshView.fields_of(freshness),
    )


@router.get("/status-counts")
async def status_counts(
    caller: SeesAnalytics, services: OurServices, window: OpenWindow, exact: bool = False
) -> StatusCountsView:
    """How many orders are in each status, of those placed in the window (by default: of all)."""
    freshness, counts = await services.database.run(analytics.status_counts, window, exact)
    return StatusCountsView.of(counts, freshness)


def _every_day(window: Window, counted: Sequence[Day], currency: str | None) -> list[Day]:
    """The counted days and, for every currency among them, the days on which nothing was ordered."""
    assert window.first is not None and window.last is not None
    known = {(day.day, day.currency): day for day in counted}
    currencies = sorted({day.currency for day in counted}) or [currency or CURRENCY_DEFAULT]
    days = [window.first + timedelta(days=number) for number in range((window.last - window.first).days + 1)]
    return [known.get((day, code)) or Day(day, code, 0, 0, 0) for day in days for code in currencies]


def _sheet(days: Sequence[DayView]) -> str:
    columns = list(DayView.model_fields)
    return sheets.header(columns) + sheets.rows(columns, (day.model_dump(mode="json") for day in days))


def _user_revenue(parts: list[str]) -> UserRevenue:
    return UserRevenue(UUID(parts[0]), parts[1], orders=0, revenue_minor=int(parts[2]))
