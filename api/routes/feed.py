"""The feed of everything that happens to orders, for whoever keeps a copy."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.answers import paging
from api.answers.cursors import Cursors
from api.answers.paging import Limit
from api.dependencies import OurServices
from api.edge.json_bodies import JsonRoute
from api.identity.access import SeesAllOrders
from api.views.base import PageView
from api.views.orders import FeedEventView
from models import order_feed
from models.order_feed import BEGINNING, Position

router = APIRouter(prefix="/v1/order-events", tags=["orders"], route_class=JsonRoute)

After = Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before")]


@router.get("")
async def order_events(
    caller: SeesAllOrders,
    request: Request,
    response: Response,
    services: OurServices,
    after: After = None,
    limit: Limit = paging.LIMIT_DEFAULT,
) -> PageView[FeedEventView]:
    """Events of all orders, each exactly once and none ever missed, in the sequence in which they became certain.

    `next_cursor` is always there: at the end of the feed, ask again with it later. Of one order, go by `version`: where
    two transactions moved it, the later move may become certain first.
    """
    cursors = paging.cursors(request, services, caller)
    position = BEGINNING if after is None else _read(cursors, after)
    found = await services.database.run(order_feed.page, position, limit + 1)
    page = found[:limit]
    position = page[-1].position if page else position
    cursor = cursors.write(position.xid, str(position.order_id), position.version)
    has_more = len(found) > limit
    if has_more:
        paging.link_next(request, response, cursor, name="after")
    return PageView(data=[FeedEventView.of(entry.event) for entry in page], has_more=has_more, next_cursor=cursor)


def _read(cursors: Cursors, after: str) -> Position:
    xid, order_id, version = cursors.read(after)
    return Position(xid, UUID(order_id), int(version))
