"""Many orders in one request: one key, one transaction, and an outcome for each."""

import json
from http import HTTPStatus

from fastapi import APIRouter, Response

from api import forms
from api.dependencies import IdempotencyKey, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import BatchForm
from api.identity.access import Places
from api.order_requests import request_of
from api.views.orders import BatchView
from models import errors
from models.acceptance import Answer

router = APIRouter(prefix="/v1/orders/batch", tags=["orders"], route_class=JsonRoute)


@router.post(
    "",
    status_code=HTTPStatus.MULTI_STATUS,
    responses={
        **may_refuse(
            errors.IdempotencyKeyMissing,
            errors.IdempotencyKeyInvalid,
            errors.IdempotencyKeyReused,
            errors.IdempotencyInProgress,
        ),
        207: {"model": BatchView},
    },
)
async def place_orders(caller: Places, form: BatchForm, key: IdempotencyKey, services: OurServices) -> Response:
    """Accept up to 100 orders. Each has its own outcome; a retry under the same key gets the same outcomes."""
    fingerprint = forms.fingerprint(form)
    requests = [request_of(item, caller, key, fingerprint) for item in form.orders]
    answers = await services.acceptor.accept_together(requests)
    references = [item.item_reference for item in form.orders]
    outcomes = [_outcome(*each) for each in zip(references, answers, strict=True)]
    headers = {"Idempotent-Replayed": "true"} if answers[0].replayed else {}
    body = b'{"data":[' + b",".join(outcomes) + b"]}"
    return Response(body, HTTPStatus.MULTI_STATUS, headers, "application/json")


def _outcome(reference: str, answer: Answer) -> bytes:
    """One item of the answer, around the stored bytes."""
    name = b"order" if answer.order_id else b"problem"
    return b'{"item_reference":%b,"status":%d,"%b":%b}' % (
        json.dumps(reference).encode(),
        answer.status,
        name,
        answer.body,
    )
