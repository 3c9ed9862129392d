"""The whole list of orders as one stream: NDJSON, or CSV for spreadsheets, with never more than a page in memory.

Every page is a transaction of its own, so that a slow reader holds nothing open; and none goes on for ever. What ends
before the list does is cut off and not closed: without the last chunk (RFC 9112, section 7.1) a client can tell it from
a complete list.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from fastapi import Response
from starlette.responses import StreamingResponse

from api.answers import sheets
from api.answers.media_types import CSV, NDJSON
from api.views.orders import OrderView, order_body
from models import errors
from models.orders import Order
from runtime import shutdown

ORDERS_PER_PAGE = 100
COLUMNS = (
    "id",
    "number",
    "status",
    "version",
    "currency",
    "total_minor",
    "lines",
    "client_reference",
    "tracking_number",
    "placed_at",
    "updated_at",
)
RESPONSES: Mapping[str, Any] = {
    NDJSON: {"schema": {"type": "string", "description": "the whole list, one order a line"}},
    CSV: {"schema": {"type": "string", "description": f"the whole list, with the columns {', '.join(COLUMNS)}"}},
}

# To JSON they are characters like any other, and to many readers of lines they end one.
LINE_ENDS = str.maketrans({"\u2028": r"\u2028", "\u2029": r"\u2029"})

Read = Callable[[Order | None], Awaitable[Sequence[Order]]]


async def stream(media_type: str, read: Read, life: timedelta) -> Response:
    """The list that `read` gives page by page, each behind the last order of the one before; cut off after `life`.

    The first page is read here, before the answer begins: a refusal can still be a refusal.
    """
    first = await read(None)
    spell = sheet if media_type == CSV else lines
    opening = sheets.header(COLUMNS) if media_type == CSV else ""
    content = _pages(first, read, spell, opening, time.monotonic() + life.total_seconds())
    return StreamingResponse(content, media_type=sheets.MEDIA_TYPE if media_type == CSV else NDJSON)


async def _pages(
    page: Sequence[Order], read: Read, spell: Callable[[Sequence[Order]], str], opening: str, ends_at: float
) -> AsyncIterator[str]:
    yield opening + spell(page)
    while len(page) == ORDERS_PER_PAGE:
        if shutdown.has_begun():
            raise errors.Unavailable(cause=errors.Cause.STOPPING)
        if time.monotonic() > ends_at:
            raise errors.TookTooLong
        page = await read(page[-1])
        yield spell(page)


def lines(page: Sequence[Order]) -> str:
    """One order a line, each as `GET /v1/orders/{id}` answers it."""
    return "".join(f"{order_body(order).decode().translate(LINE_ENDS)}\n" for order in page)


def sheet(page: Sequence[Order]) -> str:
    """One order a row."""
    return sheets.rows(
        COLUMNS, (OrderView.of(order).model_dump(mode="json") | {"lines": len(order.lines)} for order in page)
    )
