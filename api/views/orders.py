"""What goes out about orders: the order itself, its events, the items of a batch, and the answers kept with keys."""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field
from pydantic_core import to_json

from api import problems
from api.views.base import Minor, Timestamp, View
from models import errors
from models.acceptance import Answer
from models.lifecycle import Actor, Status
from models.orders import Event, Order


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
