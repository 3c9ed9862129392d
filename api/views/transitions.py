"""What goes out about a wish for a transition, and what became of it."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.views.base import Timestamp, View
from api.views.orders import order_path
from models.lifecycle import Status
from models.transition_requests import RequestState, TransitionRequest


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
