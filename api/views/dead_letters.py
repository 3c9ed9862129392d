"""What goes out about dead letters. The list says what went wrong; one letter also says where (its traceback)."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.views.base import Timestamp, View
from api.views.orders import order_path
from models.dead_letters import Letter, Origin, Resolution

PATH = "/v1/ops/dead-letters"


class DeadLetterLinks(View):
    self: str
    order: str | None


class DeadLetterView(View):
    id: int
    origin: Annotated[Origin, Field(description="an outbox row, or a message that no row stood behind")]
    kind: Annotated[str, Field(description="the name of the task")]
    order_id: UUID | None
    expected_version: Annotated[int | None, Field(description="the order's version that the work was meant for")]
    request_id: Annotated[str | None, Field(description="of the request that the work came from")]
    error: str
    attempts: int
    first_at: Annotated[Timestamp, Field(description="since when the work was to be done")]
    last_at: Annotated[Timestamp, Field(description="when it was given up")]
    resolved_at: Timestamp | None
    resolved_by: Annotated[str | None, Field(description="a user's `id`, or `cli:` and a name of the operating system")]
    resolved_how: Annotated[
        Resolution | None,
        Field(
            description="`replayed`: the same work is queued again; `retried`: the failed order was asked back to "
            "pending; `moot`: nothing was left to do; `discarded`; null: nobody has resolved it yet"
        ),
    ]
    resolved_because: str | None
    links: DeadLetterLinks

    @classmethod
    def of(cls, letter: Letter) -> Self:
        order = order_path(letter.order_id) if letter.order_id else None
        known = {name: getattr(letter, name) for name in cls.model_fields if name != "links"}
        return cls(**known, links=DeadLetterLinks(self=f"{PATH}/{letter.id}", order=order))


class DeadLetterDetailView(DeadLetterView):
    traceback: str | None
