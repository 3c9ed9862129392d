"""Orders: fetching one, and what happened to it."""

from typing import Literal

from fastapi import APIRouter, Response

from api.dependencies import IfNoneMatch, OrderId, OurServices, Wait
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.identity.access import Sees, visible_to
from api.views.orders import EventView, OrderView, etag, order_body
from models import errors, orders
from models.lifecycle import FINAL

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=JsonRoute)


@router.get(
    "/{order_id}",
    responses={**may_refuse(errors.NotFound), 200: {"model": OrderView}, 304: {"description": "not changed"}},
)
async def get_order(caller: Sees, order_id: OrderId, services: OurServices, seen: IfNoneMatch, wait: Wait) -> Response:
    """One order. With `If-None-Match` and `Prefer: wait=N`, the answer comes when the order has changed."""

    order = await services.database.run(orders.get, order_id, visible_to(caller))
    if wait and order.version in seen and order.status not in FINAL:
        await services.watch.change(order_id, order.version, wait, lambda: services.lookout.still_holds(caller.epochs))
        services.lookout.check(caller.epochs)  # It may have been long.
        order = await services.database.run(orders.get, order_id, visible_to(caller))
    headers = {"ETag": etag(order.version)}
    if order.version in seen:
        return Response(status_code=304, headers=headers)
    return Response(order_body(order), headers=headers, media_type="application/json")


@router.get("/{order_id}/events", responses=may_refuse(errors.NotFound))
async def get_events(caller: Sees, order_id: OrderId, services: OurServices) -> dict[Literal["data"], list[EventView]]:
    """Everything that happened to an order, the first event first."""
    found = await services.database.run(orders.events_of, order_id, visible_to(caller))
    return {"data": [EventView.of(event) for event in found]}
