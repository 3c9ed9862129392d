"""What analysts ask. The answers come from the aggregates and say as of when they are true."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api import malformed
from api.answers import aggregates, paging
from api.answers.paging import Cursor, Limit
from api.dependencies import KnownTags, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.identity.access import SeesAnalytics
from api.views.aggregates import (
    DayView,
    FreshView,
    FulfilmentTimesView,
    FulfilmentView,
    OrdersPerDayView,
    RevenueByUserView,
    StatusCountsView,
    UserRevenueView,
)
from api.windows import AnyWindow, Exact, GroupedBy, OneCurrency, OneWindow, OpenWindow
from models.analytics import daily_figures, user_revenue
from models.analytics.periods import GroupBy, grouped, grouped_by_currency
from models.analytics.user_revenue import UserRevenue
from runtime import clock

router = APIRouter(prefix="/v1/analytics", tags=["analytics"], route_class=JsonRoute)


@router.get("/orders-per-day", responses=dict(aggregates.RESPONSES_WITH_TABLE), response_model=OrdersPerDayView)
async def orders_per_day(
    caller: SeesAnalytics,
    request: Request,
    services: OurServices,
    window: OneWindow,
    known: KnownTags,
    currency: OneCurrency = None,
    group_by: GroupedBy = GroupBy.DAY,
    exact: Exact = False,
) -> Response:
    """Orders and revenue by the day they were placed; days without orders are there, as zeros."""
    freshness, counted = await services.reads(exact).run(daily_figures.orders_per_day, window, currency, exact)
    today = clock.business_day(freshness.as_of, services.settings.zone)
    days = [DayView.of(*each, today) for each in grouped_by_currency(window, group_by, counted, currency)]
    view = OrdersPerDayView(data=days, **FreshView.fields_of(freshness))
    return aggregates.answer(request, known, view, list(DayView.model_fields))


@router.get(
    "/revenue-by-user",
    responses={**may_refuse(malformed.InvalidCursor), **aggregates.RESPONSES_WITH_TABLE},
    response_model=RevenueByUserView,
)
async def revenue_by_user(
    caller: SeesAnalytics,
    request: Request,
    response: Response,
    services: OurServices,
    window: AnyWindow,
    known: KnownTags,
    currency: OneCurrency = None,
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The users with the highest revenue first.

    Fast, however many orders there are, for the standard windows (by `window`, or by their days) and for calendar
    months; any other window is added up for the request, and `computed` says so.
    """
    cursors = paging.cursors(request, services, caller)
    after = _user_revenue(cursors.read(cursor)) if cursor is not None else None
    found = await services.reads().run(user_revenue.ranking, window, currency, after, limit + 1)
    page, following = paging.cut(
        found.users, limit, lambda each: cursors.write(str(each.user_id), each.currency, each.revenue_minor)
    )
    view = RevenueByUserView(
        data=[UserRevenueView.of(each) for each in page],
        has_more=bool(following),
        next_cursor=following,
        computed=found.computed,
        **FreshView.fields_of(found.freshness),
    )
    paging.link_next(request, response, following)
    return aggregates.answer(request, known, view, list(UserRevenueView.model_fields), response.headers)


@router.get("/status-counts", responses=dict(aggregates.RESPONSES), response_model=StatusCountsView)
async def status_counts(
    caller: SeesAnalytics,
    request: Request,
    services: OurServices,
    window: OpenWindow,
    known: KnownTags,
    exact: Exact = False,
) -> Response:
    """How many orders are in each status, of those placed in the window (by default: of all)."""
    freshness, counts = await services.reads(exact).run(daily_figures.status_counts, window, exact)
    return aggregates.answer(request, known, StatusCountsView.of(counts, freshness))


@router.get("/fulfilment-times", responses=dict(aggregates.RESPONSES_WITH_TABLE), response_model=FulfilmentTimesView)
async def fulfilment_times(
    caller: SeesAnalytics,
    request: Request,
    services: OurServices,
    window: OneWindow,
    known: KnownTags,
    group_by: GroupedBy = GroupBy.DAY,
    exact: Exact = False,
) -> Response:
    """How long orders took from placed to delivered, by the day they were placed: the median and the 95th percentile.

    Of a day that is not final, the slower orders are still to come.
    """
    freshness, counted = await services.reads(exact).run(daily_figures.fulfilment, window, exact)
    today = clock.business_day(freshness.as_of, services.settings.zone)
    days = [FulfilmentView.of(period, inside, today) for period, inside in grouped(window, group_by, counted)]
    view = FulfilmentTimesView(data=days, **FreshView.fields_of(freshness))
    return aggregates.answer(request, known, view, list(FulfilmentView.model_fields))


def _user_revenue(parts: Sequence[str]) -> UserRevenue:
    return UserRevenue(UUID(parts[0]), parts[1], orders=0, revenue_minor=int(parts[2]))
