"""Placing an order: the hot path, and the reason this system exists.

Declared like every other endpoint, and so described in the OpenAPI. What it asks for is resolved by hand, with the very
functions that FastAPI would call: its machinery would take a third of the whole request's time.
"""

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from api import dependencies, forms, problems
from api.dependencies import IdempotencyKey, OurServices
from api.description.openapi import may_refuse, operation_id
from api.edge import json_bodies
from api.forms import OrderForm
from api.identity import access
from api.identity.access import Places
from api.order_requests import request_of
from api.views.orders import OrderView, etag, order_path
from models import errors
from models.acceptance import Answer


class ByHand(APIRoute):
    """The route of `place_order` alone."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What FastAPI would do for `place_order`, in the same sequence: who is it, under which key, and then what."""
        if scope["method"] != "POST":
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        caller = await access.places(request)
        key = dependencies.read_idempotency_key(request)
        form = await json_bodies.read(request, OrderForm)
        response = await place_order(caller, form, key, request.app.state.services)
        await response(scope, receive, send)


router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=ByHand, generate_unique_id_function=operation_id)

MAY_REFUSE = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.IdempotencyInProgress,
    errors.DuplicateReference,
    errors.UnknownProduct,
    errors.MixedCurrencies,
)


@router.post("", status_code=201, responses=may_refuse(*MAY_REFUSE) | {201: {"model": OrderView}})
async def place_order(caller: Places, form: OrderForm, key: IdempotencyKey, services: OurServices) -> Response:
    """Accept an order. Everything after this happens in the pipeline."""
    return _answer(await services.acceptor.accept(request_of(form, caller, key, forms.fingerprint(form))))


def _answer(answer: Answer) -> Response:
    """The stored bytes, with the headers that belong to them."""
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    if answer.order_id is None:
        return problems.stored(answer.body, answer.status, headers)
    headers |= {"Location": order_path(answer.order_id), "ETag": etag(1)}
    return Response(answer.body, answer.status, headers, "application/json")
