"""Server-sent events (WHATWG HTML, section 9.2): an order's life as it happens."""

import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from api.dependencies import LastEventId, OrderId, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.identity.access import Caller, Sees, visible_to
from api.services import Services
from api.views.orders import EventView
from models import errors, orders
from models.lifecycle import FINAL, Status
from models.orders import Event
from runtime import shutdown

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=JsonRoute)

# Proxies close a connection on which nothing is said; so does a client that thinks us dead.
KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
# One event of the stream, as the description of the API knows it; comments between events are none.
SENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "the order's version"},
        "event": {"type": "string", "enum": list(Status)},
        "data": {"type": "string", "description": "the event, as `GET /v1/orders/{order_id}/events` answers it"},
    },
}


@router.get(
    "/{order_id}/stream",
    response_class=StreamingResponse,
    responses={
        **may_refuse(errors.NotFound),
        200: {
            "content": {"text/event-stream": {"schema": SENT}},
            "description": "one event per order event; id = version",
        },
        204: {"description": "everything was sent already, and nothing will follow: do not reconnect"},
    },
)
async def stream_order(caller: Sees, order_id: OrderId, services: OurServices, last: LastEventId) -> Response:
    """Every event of an order, those that happened first; ends when the order has reached a final status, or the caller
    was logged out.

    It also ends after a while (15 minutes, unless configured otherwise): reconnect with `Last-Event-ID`.
    """
    # Asked here, before the answer begins: a refusal can still be a refusal.
    happened = await services.database.run(orders.events_of, order_id, visible_to(caller))
    if _is_over(happened) and happened[-1].version <= last:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return StreamingResponse(_events(services, caller, order_id, last), media_type="text/event-stream")


async def _events(services: Services, caller: Caller, order_id: UUID, seen: int) -> AsyncIterator[str]:
    ends_at = time.monotonic() + services.settings.stream_life.total_seconds()
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    happened = await services.database.run(orders.events_of, order_id, None)
    seen = min(seen, happened[-1].version)  # An id from the future is none of ours.

    def holds() -> bool:
        return services.lookout.still_holds(caller.epochs)

    # A client that wants to go on connects again, with the last id it has seen and a token that holds.
    while not shutdown.has_begun() and holds() and (left := ends_at - time.monotonic()) > 0:
        for event in happened:
            if event.version > seen:
                yield _spell(event)
        seen = max(seen, happened[-1].version)
        if _is_over(happened):
            return
        if await services.watch.change(order_id, seen, min(KEEP_ALIVE_SECONDS, left), holds) == seen:
            yield ": still here\n\n"
        happened = await services.database.run(orders.events_of, order_id, None)


def _is_over(happened: list[Event]) -> bool:
    return happened[-1].to_status in FINAL


def _spell(event: Event) -> str:
    return f"id: {event.version}\nevent: {event.to_status}\ndata: {EventView.of(event).model_dump_json()}\n\n"
