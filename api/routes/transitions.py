"""Transitions somebody asks for: recorded here, applied or refused by a worker."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api import context, waiting
from api.dependencies import By, IfMatch, OrderId, OurServices, TransitionId, Wait
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import TransitionForm
from api.identity.access import Moves, Sees, acting_as, visible_to
from api.views.orders import OrderView, etag
from api.views.transitions import TransitionView
from models import errors, orders, transition_requests
from models.transition_requests import RequestState, TransitionRequest, Wish

router = APIRouter(prefix="/v1/orders/{order_id}/transitions", tags=["transitions"], route_class=JsonRoute)

MAY_REFUSE = (
    errors.NotFound,
    errors.InvalidTransition,
    errors.StaleVersion,
    errors.ReasonRequired,
    errors.TrackingNumberRequired,
    errors.AttemptsExhausted,
)


async def _wish(caller: Moves, form: TransitionForm, expected_versions: IfMatch, by: By) -> Wish:
    return Wish(
        to=form.to,
        actor=acting_as(caller),
        requested_by=caller.id,
        reason=form.reason,
        tracking_number=form.tracking_number,
        expected_versions=expected_versions,
        request_id=context.request_id(),
        traceparent=context.traceparent(),
        by=by,
    )


@router.post(
    "",
    status_code=202,
    responses={**may_refuse(*MAY_REFUSE), 202: {"model": TransitionView}, 200: {"model": TransitionView | OrderView}},
)
async def request_transition(
    caller: Moves, order_id: OrderId, wish: Annotated[Wish, Depends(_wish)], services: OurServices, wait: Wait
) -> Response:
    """Ask for a transition.

    With `Prefer: wait=N` the answer comes when it was applied (200) or refused (409, 412 or 422).
    """
    order, request = await services.database.run(transition_requests.ask, order_id, visible_to(caller), wish)
    if request is None:  # It is there already.
        return _json(OrderView.of(order), 200, {"ETag": etag(order.version)})

    asked_id = request.id

    async def look() -> TransitionRequest:
        services.lookout.check(caller.epochs)
        return await services.database.run(transition_requests.get, order_id, asked_id)

    if wait:
        request = await waiting.until(look, lambda seen: seen.state is not RequestState.PENDING, wait)
    if request.state is RequestState.REFUSED:
        order = await services.database.run(orders.get, order_id, visible_to(caller))
        raise transition_requests.refusal(request, order)
    view = TransitionView.of(request)
    status = 200 if request.state is RequestState.APPLIED else 202
    return _json(view, status, {"Location": view.links.self})


@router.get("/{transition_id}", responses=may_refuse(errors.NotFound))
async def get_transition(
    caller: Sees, order_id: OrderId, transition_id: TransitionId, services: OurServices
) -> TransitionView:
    """What became of an asked-for transition."""
    await services.database.run(orders.get, order_id, visible_to(caller))
    return TransitionView.of(await services.database.run(transition_requests.get, order_id, transition_id))


def _json(view: OrderView | TransitionView, status: int, headers: dict[str, str]) -> Response:
    return Response(view.model_dump_json(), status, headers, "application/json")
