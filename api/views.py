"""What goes out: the JSON form of everything the API answers with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from api import problems
from models import errors
from models.acceptance import Answer
from models.lifecycle import Actor, Status
from models.orders import Event, Order
from models.permissions import Role
from models.products import Product
from models.transition_requests import RequestState, TransitionRequest
from models.users import User

T = TypeVar("T")

Minor = Annotated[int, Field(description="in minor units of the currency: cents, yen, fils")]
# pydantic writes it as RFC 3339 does, with `Z`: every connection to the database speaks UTC.
Timestamp = datetime


class View(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class PageView(View, Generic[T]):
    data: Sequence[T]
    has_more: bool
    next_cursor: Annotated[str | None, Field(description="where the next page begins; pass it back as it is")]


class LineView(View):
    line: int
    sku: str
    name: str
    quantity: int
    unit_price_minor: Minor
    amount_minor: Minor


class OrderLinks(View):
    self: str
    events: str
    stream: str


class OrderView(View):
    id: UUID
    number: Annotated[str, Field(description="for people: short, and not sequential")]
    status: Status
    version: Annotated[int, Field(description="one more with every move; the `ETag` is made of it")]
    currency: Annotated[str, Field(description="ISO 4217")]
    total_minor: Minor
    items: list[LineView]
    client_reference: str | None
    metadata: dict[str, str]
    tracking_number: str | None
    placed_at: Timestamp
    updated_at: Timestamp
    links: OrderLinks

    @classmethod
    def of(cls, order: Order) -> Self:
        return cls.model_validate(order_members(order))


def order_members(order: Order) -> dict[str, Any]:
    """The members of an `OrderView`, unvalidated: what comes from the database needs no second look."""
    path = order_path(order.id)
    return {
        "id": order.id,
        "number": order.number,
        "status": str(order.status),  # a member of an enumeration takes pydantic ten times as long
        "version": order.version,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "items": [
            {
                "line": line.line,
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
                "amount_minor": line.amount_minor,
            }
            for line in order.lines
        ],
        "client_reference": order.client_reference,
        "metadata": order.metadata,
        "tracking_number": order.tracking_number,
        "placed_at": order.placed_at,
        "updated_at": order.updated_at,
        "links": {"self": path, "events": f"{path}/events", "stream": f"{path}/stream"},
    }


def order_body(order: Order) -> bytes:
    """An order as it is sent: the JSON of its `OrderView`, which a test compares it with."""
    return to_json(order_members(order))


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
        return cls.model_validate(event)


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
        return cls.model_validate(user)


class AccountView(UserView):
    disabled_at: Annotated[Timestamp | None, Field(description="since when they cannot log in; null: they can")]


class TokensView(View):
    access_token: str
    token_type: str = "Bearer"
    expires_in: int
    refresh_token: str


class ProductView(View):
    sku: str
    name: str
    price_minor: Minor
    currency: str
    available: Annotated[int, Field(description="on hand and not yet promised to an order")]
    active: bool

    @classmethod
    def of(cls, product: Product) -> Self:
        return cls.model_validate(product)


class AnswerRenderer:
    """How the answers that are stored with an idempotency key are spelled."""

    def order(self, order: Order) -> Answer:
        return Answer(201, order_body(order), order.id)

    def refusal(self, error: errors.OrderPipelineError, request_id: str | None) -> Answer:
        return Answer(problems.status_of(type(error)), problems.document(error, request_id), None)


def order_path(order_id: UUID) -> str:
    return f"/v1/orders/{order_id}"


def etag(version: int) -> str:
    return f'"v{version}"'
