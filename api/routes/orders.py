"""Orders: placing them, fetching them, listing them."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, Field

from api import context, forms, paging, problems
from api.access import Caller, Places, Sees
from api.dependencies import IdempotencyKey, IfNoneMatch, OrderId, OurServices, Wait
from api.forms import ClientReference, OrderForm, Sku
from api.json_bodies import JsonRoute
from api.openapi import refusals
from api.paging import Cursor, Limit
from api.views import EventView, OrderView, PageView, etag, order_path
from models import acceptance, errors, order_list, orders
from models.acceptance import Answer, Item
from models.lifecycle import Actor, Status
from models.order_list import Filter, Position
from models.permissions import Permission

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=JsonRoute)

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime | None, Query(), Field(ge=EARLIEST, le=LATEST)]
Sort = Literal["-placed_at", "placed_at"]

MAY_REFUSE = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.IdempotencyInProgress,
    errors.DuplicateReference,
    errors.UnknownProduct,
    errors.MixedCurrencies,
)


def visible_to(caller: Caller) -> UUID | None:
    """Whose orders the caller may see: only their own, or (None) everybody's."""
    return None if caller.may(Permission.SEE_ALL_ORDERS) else caller.id


def acting_as(caller: Caller) -> Actor:
    return Actor.STAFF if caller.may(Permission.MOVE_ALL_ORDERS) else Actor.OWNER


@router.post("", status_code=201, responses=refusals(*MAY_REFUSE) | {201: {"model": OrderView}})
async def place_order(caller: Places, form: OrderForm, key: IdempotencyKey, services: OurServices) -> Response:
    """Accept an order. Everything after this happens in the pipeline."""
    return _answer(await services.acceptor.accept(request_of(form, caller, key, forms.fingerprint(form))))


@router.get(
    "/{order_id}",
    responses={**refusals(errors.NotFound), 200: {"model": OrderView}, 304: {"description": "not changed"}},
)
async def get_order(caller: Sees, order_id: OrderId, services: OurServices, seen: IfNoneMatch, wait: Wait) -> Response:
    """One order. With `If-None-Match` and `Prefer: wait=N`, the answer comes when the order has changed."""

    order = await services.database.run(orders.get, order_id, visible_to(caller))
    if wait and order.version in seen:
        await services.watch.change(order_id, order.version, wait)
        order = await services.database.run(orders.get, order_id, visible_to(caller))
    headers = {"ETag": etag(order.version)}
    if order.version in seen:
        return Response(status_code=304, headers=headers)
    return Response(OrderView.of(order).model_dump_json(), headers=headers, media_type="application/json")


@router.get("/{order_id}/events", responses=refusals(errors.NotFound))
async def get_events(caller: Sees, order_id: OrderId, services: OurServices) -> dict[Literal["data"], list[EventView]]:
    """Everything that happened to an order, the first event first."""
    found = await services.database.run(orders.events_of, order_id, visible_to(caller))
    return {"data": [EventView.of(event) for event in found]}


def _filter(
    caller: Sees,
    status: Annotated[str | None, Query(description="one or more statuses, separated by commas")] = None,
    placed_at_min: Moment = None,
    placed_at_max: Moment = None,
    client_reference: Annotated[ClientReference | None, Query()] = None,
    sku: Annotated[Sku | None, Query()] = None,
    user_id: UUID | None = None,
    stuck: bool | None = None,
) -> Filter:
    return Filter(
        owner=visible_to(caller),
        user_id=user_id,
        statuses=_statuses(status),
        placed_at_min=placed_at_min,
        placed_at_max=placed_at_max,
        client_reference=client_reference,
        sku=sku,
        stuck=stuck,
    )


@router.get("", responses=refusals(errors.InvalidCursor))
async def list_orders(
    caller: Sees,
    request: Request,
    response: Response,
    services: OurServices,
    narrowed: Annotated[Filter, Depends(_filter)],
    sort: Sort = "-placed_at",
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[OrderView]:
    """Orders the caller may see, by the time they were placed."""
    cursors = paging.cursors(request, services, caller)
    after = _position(cursors.read(cursor)) if cursor else None
    newest_first = sort == "-placed_at"
    found = await services.database.run(order_list.page, narrowed, after, limit + 1, newest_first)
    page, following = paging.cut(found, limit, lambda order: cursors.write(order.placed_at.isoformat(), str(order.id)))
    paging.link_next(request, response, following)
    return PageView(data=[OrderView.of(order) for order in page], has_more=bool(following), next_cursor=following)


def request_of(form: OrderForm, caller: Caller, key: str, fingerprint: bytes) -> acceptance.Request:
    """What the pipeline is asked to accept: the form, and who sent it under which key."""
    return acceptance.Request(
        user_id=caller.id,
        actor=acting_as(caller),
        key=key,
        fingerprint=fingerprint,
        items=tuple(Item(item.sku, item.quantity) for item in form.items),
        client_reference=form.client_reference,
        metadata=form.metadata,
        request_id=context.request_id(),
    )


def _answer(answer: Answer) -> Response:
    """The stored bytes, with the headers that belong to them."""
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    if answer.order_id is not None:
        headers |= {"Location": order_path(answer.order_id), "ETag": etag(1)}
    media_type = "application/json" if answer.order_id is not None else problems.MEDIA_TYPE
    return Response(answer.body, answer.status, headers, media_type)


def _statuses(listed: str | None) -> tuple[Status, ...]:
    try:
        return tuple(Status(each) for each in listed.split(",")) if listed is not None else ()
    except ValueError:
        known = ", ".join(Status)
        raise errors.InvalidRequest(
            flaws=[errors.Flaw("status", "unknown_status", f"Known statuses are {known}.")]
        ) from None


def _position(parts: list[str]) -> Position:
    return Position(datetime.fromisoformat(parts[0]), UUID(parts[1]))
