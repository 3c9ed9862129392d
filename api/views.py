"""What goes out: the JSON form of everything the API answers with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from api import problems
from models import errors
from models.acceptance import Answer
from models.analytics import Day, Freshness, UserRevenue
from models.lifecycle import Actor, Status
from models.orders import Event, Order
from models.permissions import Role
from models.products import Product
from models.transition_requests import RequestState, TransitionRequest
from models.users import User

T = TypeVar("T")

Timestamp = Annotated[datetime, PlainSerializer(lambda at: at.astimezone(UTC).isoformat().replace("+00:00", "Z"))]


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


class PageView(View, Generic[T]):
    data: Sequence[T]
    has_more: bool
    next_cursor: str | None


class LineView(View):
    line: int
    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    amount_minor: int


class OrderLinks(View):
    self: str
    events: str
    stream: str


class OrderView(View):
    id: UUID
    number: str
    status: Status
    version: int
    currency: str
    total_minor: int
    items: Sequence[LineView]
    client_reference: str | None
    metadata: Mapping[str, str]
    tracking_number: str | None
    placed_at: Timestamp
    updated_at: Timestamp
    links: OrderLinks

    @classmethod
    def of(cls, order: Order) -> Self:
        path = order_path(order.id)
        return cls(
            id=order.id,
            number=order.number,
            status=order.status,
            version=order.version,
            currency=order.currency,
            total_minor=order.total_minor,
            items=[LineView(**asdict(line), amount_minor=line.amount_minor) for line in order.lines],
            client_reference=order.client_reference,
            metadata=order.metadata,
            tracking_number=order.tracking_number,
            placed_at=order.placed_at,
            updated_at=order.updated_at,
            links=OrderLinks(self=path, events=f"{path}/events", stream=f"{path}/stream"),
        )


class EventView(View):
    version: int
    from_status: Status | None
    to_status: Status
    actor: Actor
    reason: str | None
    request_id: str | None
    at: Timestamp

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls.model_validate(event, from_attributes=True)


class BatchItemView(View):
    item_reference: str
    status: int
    order: OrderView | None = None
    problem: Annotated[dict[str, object] | None, Field(description="why this order was refused")] = None


class BatchView(View):
    data: Sequence[BatchItemView]


class FeedEventView(EventView):
    order_id: UUID


class TransitionLinks(View):
    self: str
    order: str


class TransitionView(View):
    id: UUID
    order_id: UUID
    to: Status
    state: RequestState
    refusal: Annotated[str | None, Field(description="the error code of a refused request")]
    reason: str | None
    tracking_number: str | None
    created_at: Timestamp
    resolved_at: Timestamp | None
    links: TransitionLinks

    @classmethod
    def of(cls, request: TransitionRequest) -> Self:
        order = order_path(request.order_id)
        return cls(
            id=request.id,
            order_id=request.order_id,
            to=request.to_status,
            state=request.state,
            refusal=request.refusal,
            reason=request.reason,
            tracking_number=request.tracking_number,
            created_at=request.created_at,
            resolved_at=request.resolved_at,
            links=TransitionLinks(self=f"{order}/transitions/{request.id}", order=order),
        )


class UserView(View):
    id: UUID
    email: str
    name: str | None
    role: Role
    created_at: Timestamp

    @classmethod
    def of(cls, user: User) -> Self:
        return cls.model_validate(user, from_attributes=True)


class TokensView(View):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    refresh_token: str


class ProductView(View):
    sku: str
    name: str
    price_minor: int
    currency: str
    available: int
    active: bool

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls.model_validate(product, from_attributes=True)


class DayView(View):
    day: date
    currency: str
    orders: int
    revenue_minor: int
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
    revenue_minor: int

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
    data: Mapping[Status, int]


class RevenueByUserView(FreshView):
    data: Sequence[UserRevenueView]
    has_more: bool
    next_cursor: str | None


class AnswerRenderer:
    """How the answers that are stored with an idempotency key are spelled."""

    def order(self, order: Order) -> Answer:
        return Answer(201, OrderView.of(order).model_dump_json().encode(), order.id)

    def refusal(self, error: errors.OrderPipelineError, request_id: str | None) -> Answer:
        return Answer(problems.status_of(type(error)), problems.document(error, request_id), None)


def order_path(order_id: UUID) -> str:
    return f"/v1/orders/{order_id}"


def etag(version: int) -> str:
    return f'"v{version}"'
