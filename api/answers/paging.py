"""Pages: the page itself, and the link to the next one."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response

from api.answers.cursors import Cursors
from api.identity.access import Caller
from api.services import Services
from runtime import secret

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
# Where in a list we are; everything else says which list it is.
POSITION_PARAMETERS = ("after", "cursor", "limit")

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before")]

T = TypeVar("T")


def cursors(request: Request, services: Services, caller: Caller) -> Cursors:
    """The cursors of this list: same caller, same path, same filters (everything but the position)."""
    filters = sorted(item for item in request.query_params.multi_items() if item[0] not in POSITION_PARAMETERS)
    return Cursors(secret.derive(services.settings, "cursors"), str(caller.id), request.scope["path"], filters)


def cut(found: Sequence[T], limit: int, cursor_after: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The page of `limit`, and the cursor to the next one if `found`, which was asked for one more, has it."""
    page = found[:limit]
    return page, cursor_after(page[-1]) if len(found) > limit else None


def link_next(request: Request, response: Response, cursor: str | None, name: str = "cursor") -> None:
    """`Link: rel="next"` (RFC 8288), relative, so that it holds behind any proxy."""
    if cursor is not None:
        following = urlencode(dict(request.query_params) | {name: cursor})
        response.headers["Link"] = f'<{quote(request.scope["path"])}?{following}>; rel="next"'
