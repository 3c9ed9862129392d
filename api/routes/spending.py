"""What the caller's own orders come to."""

from fastapi import APIRouter, Request, Response

from api.answers import aggregates
from api.dependencies import KnownTags, OurServices
from api.edge.json_bodies import JsonRoute
from api.identity.access import SeesOwnSpending
from api.views.aggregates import FreshView, SpendingView, SpendView
from api.windows import Exact, GroupedBy, OneCurrency, OneWindow
from models.analytics import user_revenue
from models.analytics.periods import GroupBy, grouped_by_currency

router = APIRouter(tags=["users"], route_class=JsonRoute)


@router.get("/v1/users/me/spend", responses=dict(aggregates.RESPONSES_WITH_TABLE), response_model=SpendingView)
async def get_spending(
    caller: SeesOwnSpending,
    request: Request,
    services: OurServices,
    window: OneWindow,
    known: KnownTags,
    currency: OneCurrency = None,
    group_by: GroupedBy = GroupBy.DAY,
    exact: Exact = False,
) -> Response:
    """What the caller's own orders come to, by the day they were placed; days without orders are there, as zeros."""
    freshness, spent = await services.reads(exact).run(user_revenue.spending, caller.id, window, currency, exact)
    days = [SpendView.of(*each) for each in grouped_by_currency(window, group_by, spent, currency)]
    view = SpendingView(data=days, **FreshView.fields_of(freshness))
    return aggregates.answer(request, known, view, list(SpendView.model_fields))
