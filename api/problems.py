"""Errors as problem documents (RFC 9457). The HTTP status of every error stands here, and nowhere else.

Nothing that a client sent is ever repeated back: validation errors give the place and the rule, not the value.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from api import context, malformed
from models import errors
from runtime import database, logs

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "1"
FLAWS_MAX = 50
# Rows that speak of the caller: refused by PostgreSQL when there is no such user.
CALLER_CONSTRAINTS = frozenset(
    {"fk_idempotency_keys_user_id", "fk_orders_user_id", "fk_transition_requests_requested_by"}
)
NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,40}")
# Where pydantic would speak of our classes, or quote the value.
OBJECT_EXPECTED, LIST_EXPECTED = "Input should be an object", "Input should be a list"
DETAILS: Mapping[str, str] = {
    "model_type": OBJECT_EXPECTED,
    "model_attributes_type": OBJECT_EXPECTED,
    "dict_type": OBJECT_EXPECTED,
    "is_instance_of": LIST_EXPECTED,
    "uuid_parsing": "Input should be a valid UUID",
}
# The rest of such a request is not read: nothing can come after it on its connection.
LAST_WORDS = frozenset({408, 413, 414, 431})
KEY_MARK = "[key]"  # Pydantic's, behind the name of a member whose name is at fault.

# The most specific class wins; a class that is not listed has the status of its nearest listed ancestor.
STATUS: Mapping[type[errors.OrderPipelineError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Refused: 422,
    malformed.UnreadableRequest: 400,
    malformed.MalformedJson: 400,
    malformed.UnknownQueryParameter: 400,
    malformed.InvalidCursor: 400,
    errors.IdempotencyKeyMissing: 400,
    errors.IdempotencyKeyInvalid: 400,
    malformed.UnsupportedMediaType: 415,
    malformed.TooSlow: 408,
    malformed.BodyTooLarge: 413,
    malformed.TargetTooLong: 414,
    malformed.HeadersTooLarge: 431,
    errors.Conflict: 409,
    errors.StaleVersion: 412,
    errors.RateLimited: 429,
    errors.Unavailable: 503,
    errors.OrderPipelineError: 500,
}


def status_of(refusal: type[errors.OrderPipelineError]) -> int:
    return next(STATUS[kind] for kind in refusal.__mro__ if kind in STATUS)


def document(error: errors.OrderPipelineError, request_id: str | None) -> bytes:
    """The problem document of an error, as the bytes that are sent (and stored, where the refusal is kept)."""
    status = status_of(type(error))
    members: dict[str, object] = {
        "type": f"urn:order-pipeline:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    if error.flaws:
        members["errors"] = [
            {"pointer": flaw.pointer, "code": flaw.code, "detail": flaw.detail} for flaw in error.flaws
        ]
    return json.dumps(members | error.facts(), separators=(",", ":")).encode()


class Problem(Response):
    """A problem document. Its code, and a cause that it does not tell, are on the request's line in the log."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        code: str,
        content: bytes,
        status: int,
        headers: Mapping[str, str] | None = None,
        cause: errors.Cause | None = None,
    ) -> None:
        super().__init__(content, status, headers)
        self.code = code
        self._facts = {"code": code, "cause": cause} if cause else {"code": code}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Bound, and not handed over to whoever writes the line: so requests that are not refused pay nothing for it.
        logs.bind(**self._facts)
        await super().__call__(scope, receive, send)


def stored(body: bytes, status: int, headers: Mapping[str, str]) -> Problem:
    """A refusal that was kept with its key, and is sent as it was kept."""
    return Problem(json.loads(body)["code"], body, status, headers)


def response(error: errors.OrderPipelineError) -> Problem:
    status = status_of(type(error))
    answer = Problem(error.code, document(error, context.request_id()), status, cause=error.cause)
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if status in LAST_WORDS:
        answer.headers["Connection"] = "close"
    if isinstance(error, errors.IdempotencyInProgress | errors.Unavailable):
        answer.headers["Retry-After"] = RETRY_AFTER_SECONDS
    if isinstance(error, errors.RateLimited):
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.seconds)))
    return answer


def flaws_of(found: Sequence[Mapping[str, Any]]) -> list[errors.Flaw]:
    """Pydantic's findings without the input: body places as JSON pointers (RFC 6901), others by parameter name.

    Only the first ones: a small body can have so many flaws that their list would be a hundred times its size.
    """
    return [errors.Flaw(_pointer(each["loc"]), str(each["type"]), _detail(each)) for each in found[:FLAWS_MAX]]


def _detail(flaw: Mapping[str, Any]) -> str:
    return DETAILS.get(flaw["type"]) or str(flaw["msg"]).removeprefix("Value error, ")


def _pointer(location: Sequence[str | int]) -> str:
    where, *path = location
    if path and path[-1] == KEY_MARK:  # It is a name that is at fault: its object is the nearest place there is.
        del path[-2:]
    if where == "body":
        return "".join(f"/{_shown(step)}" for step in path)
    return ".".join(map(_shown, path))


def _shown(step: str | int) -> str:
    """A step of a pointer. The client may have made the name up: unless it looks like one, it is not repeated."""
    return str(step) if NAME.fullmatch(str(step)) else "…"


def answer_to(error: Exception, scope: Scope) -> Problem:
    """The answer to a request that ended with this exception, whatever it is."""
    if isinstance(error, errors.OrderPipelineError):
        return response(error)
    if isinstance(error, RequestValidationError):
        malformed = scope.get("state", {}).get("malformed")
        return response(malformed or errors.InvalidRequest(flaws=flaws_of(error.errors())))
    if isinstance(error, HTTPException):
        return _routing_refusal(error, scope)
    if isinstance(error, DBAPIError | PoolTimeout):
        return _database_refusal(error)
    return _bug(error)


def _routing_refusal(error: HTTPException, scope: Scope) -> Problem:
    """Starlette's own refusals: no such path, no such method."""
    refusal = errors.NotFound() if error.status_code == HTTPStatus.NOT_FOUND else errors.InvalidRequest()
    phrase = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    members = json.loads(document(refusal, context.request_id()))
    if not isinstance(refusal, errors.NotFound):
        code = phrase.lower().replace(" ", "_")
        members |= {
            "status": error.status_code,
            "title": phrase,
            "detail": f"{phrase}.",
            "code": code,
            "type": f"urn:order-pipeline:problem:{code}",
        }
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(scope)))
    return Problem(members["code"], json.dumps(members).encode(), error.status_code, headers)


def _methods(scope: Scope) -> set[str]:
    """Every method of this path (RFC 9110, section 15.5.6). Starlette names those of the first route that knows it.

    `/v1/orders/batch` could also be the path of an order, but none has that id: the path with fewer unknowns is meant.
    """
    known = [each for each in iter_route_contexts(scope["app"].routes) if each.path_regex.match(scope["path"])]
    unknowns = [str(each.path_format).count("{") for each in known]
    return {
        method
        for each, count in zip(known, unknowns, strict=True)
        if count == min(unknowns)
        for method in each.methods or ()
    }


def _database_refusal(error: Exception) -> Problem:
    if database.violated_constraint(error) in CALLER_CONSTRAINTS:  # Their token outlived the user.
        return response(errors.InvalidToken())
    if not database.is_unavailable(error) and not database.is_worth_retrying(error):
        return _bug(error)
    log.warning("the database is unavailable", **database.cause(error))
    return response(errors.Unavailable(cause=_cause(error)))


def _cause(error: Exception) -> errors.Cause:
    if isinstance(error, PoolTimeout):
        return errors.Cause.NO_CONNECTION
    return errors.Cause.DATABASE_LOST if database.is_unavailable(error) else errors.Cause.DATABASE_BUSY


def _bug(error: Exception) -> Problem:
    log.error("unexpected error", exc_info=error)
    return response(errors.OrderPipelineError("An unexpected error occurred; it was logged under this request id."))
