"""What analysts get: the JSON form of the aggregates, and as of when they are true."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from api.views.base import Minor, Timestamp, View
from models.analytics import fulfilment
from models.analytics.daily_figures import Day, FulfilmentDay
from models.analytics.freshness import Freshness
from models.analytics.periods import Period
from models.analytics.user_revenue import Computed, Spending, UserRevenue
from models.lifecycle import Status

FirstDay = Annotated[date, Field(description="of a week or a month, the first day of it that lies in the window")]
IsFinal = Annotated[bool, Field(description="the day is over and every order of it has reached a final status")]
Seconds = Annotated[
    float | None,
    Field(description=f"at most {fulfilment.ERROR:.0%} from the exact one; null where nothing was delivered"),
]


class DayView(View):
    day: FirstDay
    currency: str
    orders: int
    revenue_minor: Minor
    is_final: IsFinal

    @classmethod
    def of(cls, period: Period, currency: str, days: Sequence[Day], today: date) -> Self:
        return cls(
            day=period.first,
            currency=currency,
            orders=sum(day.orders for day in days),
            revenue_minor=sum(day.revenue_minor for day in days),
            is_final=period.last < today and not any(day.open_orders for day in days),
        )


class FulfilmentView(View):
    day: FirstDay
    delivered: int
    median_seconds: Seconds
    p95_seconds: Seconds
    is_final: IsFinal

    @classmethod
    def of(cls, period: Period, days: Sequence[FulfilmentDay], today: date) -> Self:
        histogram = fulfilment.merged(day.histogram for day in days)
        return cls(
            day=period.first,
            delivered=sum(histogram.values()),
            median_seconds=fulfilment.quantile(histogram, 0.5),
            p95_seconds=fulfilment.quantile(histogram, 0.95),
            is_final=period.last < today and not any(day.open_orders for day in days),
        )


class SpendView(View):
    day: FirstDay
    currency: str
    orders: Annotated[int, Field(description="those that were confirmed and not cancelled since")]
    spend_minor: Minor

    @classmethod
    def of(cls, period: Period, currency: str, days: Sequence[Spending]) -> Self:
        return cls(
            day=period.first,
            currency=currency,
            orders=sum(day.orders for day in days),
            spend_minor=sum(day.revenue_minor for day in days),
        )


class UserRevenueView(View):
    user_id: UUID
    currency: str
    orders: int
    revenue_minor: Minor

    @classmethod
    def of(cls, revenue: UserRevenue) -> Self:
        return cls.model_validate(revenue, from_attributes=True)


class FreshView(View):
    as_of: Timestamp
    lag_seconds: float

    @classmethod
    def fields_of(cls, freshness: Freshness) -> dict[str, object]:
        return {"as_of": freshness.as_of, "lag_seconds": round(max(freshness.lag_seconds, 0), 3)}


class OrdersPerDayView(FreshView):
    data: Sequence[DayView]


class FulfilmentTimesView(FreshView):
    data: Sequence[FulfilmentView]


class SpendingView(FreshView):
    data: Sequence[SpendView]


class StatusCountsView(FreshView):
    """`{status: orders}`, and as of when; `data` holds the same counts in the envelope of the other answers."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, int] = Field(init=False)

    data: Mapping[Status, int]

    @classmethod
    def of(cls, counts: Mapping[Status, int], freshness: Freshness) -> Self:
        by_name = {str(status): orders for status, orders in counts.items()}
        return cls.model_validate({**by_name, "data": counts, **cls.fields_of(freshness)})


class RevenueByUserView(FreshView):
    data: Sequence[UserRevenueView]
    has_more: bool
    next_cursor: str | None
    computed: Annotated[
        Computed,
        Field(
            description="`standard_window`: found ahead, as of `as_of`; `calendar_month`: read along an index; "
            "`live`: added up for this request, which takes the longer the more users there are"
        ),
    ]
