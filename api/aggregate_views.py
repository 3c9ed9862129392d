"""What analysts get: the JSON form of the daily aggregates, and as of when they are true."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from api.views import Minor, Timestamp, View
from models.analytics import Day, Freshness, UserRevenue
from models.lifecycle import Status


class DayView(View):
    day: date
    currency: str
    orders: int
    revenue_minor: Minor
    is_final: Annotated[bool, Field(description="the day is over and every order of it has reached a final status")]

    @classmethod
    def of(cls, day: Day, today: date) -> Self:
        return cls(
            day=day.day,
            currency=day.currency,
            orders=day.orders,
            revenue_minor=day.revenue_minor,
            is_final=day.day < today and day.open_orders == 0,
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
