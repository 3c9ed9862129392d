"""The list of orders: its filters, its pages, and the whole of it as a stream."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, Field

from api import malformed
from api.answers import exports, media_types, paging
from api.answers.paging import Cursor, Limit
from api.dependencies import OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import AS_A_TIME, ClientReference, Sku
from api.identity.access import Sees, visible_to
from api.views.base import PageView
from api.views.orders import OrderView
from models import errors, order_list
from models.lifecycle import Status
from models.order_list import Filter, Position
from models.orders import Order

router = APIRouter(prefix="/v1/orders", tags=["orders"], route_class=JsonRoute)

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Moment = Annotated[AwareDatetime | None, Query(), Field(ge=EARLIEST, le=LATEST), AS_A_TIME]
STATUSES_PATTERN = "^(?:{0})(?:,(?:{0}))*$".format("|".join(Status))
Sort = Literal["-placed_at", "placed_at"]


async def _filter(
    caller: Sees,
    status: Annotated[
        str | None,
        Query(description="one or more statuses, separated by commas", json_schema_extra={"pattern": STATUSES_PATTERN}),
    ] = None,
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


OneFilter = Annotated[Filter, Depends(_filter)]


@router.get(
    "",
    responses=may_refuse(malformed.InvalidCursor) | {200: {"content": dict(exports.RESPONSES)}},
    response_model=PageView[OrderView],
)
async def list_orders(
    caller: Sees,
    request: Request,
    response: Response,
    services: OurServices,
    narrowed: OneFilter,
    sort: Sort = "-placed_at",
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[OrderView] | Response:
    """Orders the caller may see, by the time they were placed.

    With `Accept: application/x-ndjson` or `text/csv`, all of them in one stream, from `cursor` on where one is given;
    a `limit` is refused then. A stream that ends without its last chunk was cut off. Any other `Accept` means JSON.
    """
    cursors = paging.cursors(request, services, caller)
    after = _position(cursors.read(cursor)) if cursor is not None else None
    newest_first = sort == "-placed_at"

    async def read(last: Order | None) -> Sequence[Order]:
        services.lookout.check(caller.epochs)  # An export may take long, and its reader be logged out meanwhile.
        behind = Position(last.placed_at, last.id) if last else after
        return await services.reads().run(
            order_list.page, narrowed, behind, exports.ORDERS_PER_PAGE, newest_first=newest_first
        )

    media_type = media_types.wanted(",".join(request.headers.getlist("accept")))
    if media_type != media_types.JSON:
        _refuse_limit(request)
        return await exports.stream(media_type, read, services.settings.export_life)
    found = await services.reads().run(order_list.page, narrowed, after, limit + 1, newest_first)
    page, following = paging.cut(found, limit, lambda order: cursors.write(order.placed_at.isoformat(), str(order.id)))
    paging.link_next(request, response, following)
    return PageView(data=[OrderView.of(order) for order in page], has_more=bool(following), next_cursor=following)


def _refuse_limit(request: Request) -> None:
    if "limit" in request.query_params:
        flaw = errors.Flaw("limit", "not_for_exports", "An export is the whole list: it has no pages.")
        raise errors.InvalidRequest(flaws=[flaw])


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
