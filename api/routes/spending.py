"""What the caller's own orders come to."""

from fastapi import APIRouter, Request, Response

from api import aggregate_answers
from api.access import SeesOwnSpending
from api.aggregate_views import FreshView, SpendingView, SpendView
from api.dependencies import KnownTags, OurServices
from api.json_bodies import JsonRoute
from api.periods import GroupBy, grouped_by_currency
from api.windows import Exact, GroupedBy, OneCurrency, OneWindow
from models import user_revenue

router = APIRouter(tags=["users"], route_class=JsonRoute)


@router.get("/v1/users/me/spend", responses=dict(aggregate_answers.RESPONSES_WITH_TABLE), response_model=SpendingView)
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
    return aggregate_answers.answer(request, known, view, list(SpendView.model_fields))
