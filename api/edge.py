"""The edge: one pure-ASGI layer around everything, for what every request and every answer has in common.

Request ids, security headers, one access line per request, the body limit, and the answer to every exception.
"""

import time
from collections.abc import Mapping, Sequence

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import context, problems, rate_limits
from models import errors
from runtime import logs

log = logs.get("api.access")

RawHeaders = Sequence[tuple[bytes, bytes]]

BODY_BYTES_MAX = 64 * 1024
AUTH_BODY_BYTES_MAX = 4 * 1024
DIGITS_MAX = 9
AUTH_PREFIX = "/v1/auth/"

SECURITY_HEADERS: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
# The one page for browsers: Swagger UI, all of it from here; its icons are data inside its style sheet.
DOCUMENTATION = "/docs"
DOCUMENTATION_HEADERS = {
    **SECURITY_HEADERS,
    b"content-security-policy": b"default-src 'none'; connect-src 'self'; frame-ancestors 'none'; "
    b"script-src 'self'; style-src 'self'; img-src 'self' data:",
}


class Edge:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            exchange.refuse_announced_excess()
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            await exchange.rescue(error)
        finally:
            exchange.log()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()
        self._request_id = context.begin(
            _first(scope["headers"], b"x-request-id"), _first(scope["headers"], b"traceparent")
        )
        self._body_bytes_left = AUTH_BODY_BYTES_MAX if scope["path"].startswith(AUTH_PREFIX) else BODY_BYTES_MAX
        self._status: int | None = None
        logs.clear()
        logs.bind(request_id=self._request_id)

    def refuse_announced_excess(self) -> None:
        """Refuse a body before its first byte, and before asking who sends it (S26). What is not announced is counted.

        Raises:
            errors.BodyTooLarge
        """
        announced = _first(self._scope["headers"], b"content-length")
        # More digits than the limit has: the parser has made sure that there is nothing else.
        if announced and (len(announced) > DIGITS_MAX or int(announced) > self._body_bytes_left):
            raise errors.BodyTooLarge

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._body_bytes_left -= len(message.get("body", b""))
            if self._body_bytes_left < 0:
                raise errors.BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            common = DOCUMENTATION_HEADERS if self._scope["path"] == DOCUMENTATION else SECURITY_HEADERS
            own = message["headers"]
            names = {name for name, _ in own}
            own.append((b"x-request-id", self._request_id.encode()))
            own.extend(rate_limits.fields(self._scope))
            own.extend(header for header in common.items() if header[0] not in names)
        await self._send(message)

    async def rescue(self, error: Exception) -> None:
        """Answer what nothing inside answered; when the answer has begun already, the connection has to go."""
        if isinstance(error, ClientDisconnect):  # Nobody is left to be answered.
            return
        if self._status is not None:
            raise error
        error = rate_limits.instead_of(error, self._scope)
        await problems.answer_to(error, self._scope)(self._scope, self._receive, self.send)

    def log(self) -> None:
        log.info(
            "request",
            method=self._scope["method"],
            route=_template(self._scope),
            status=self._status,
            ms=round((time.perf_counter() - self._began) * 1000, 1),
            caller=self._scope.get("state", {}).get("caller"),
        )


def _first(headers: RawHeaders, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)


def _template(scope: Scope) -> str:
    """The template of the path. The route of an included router knows only its own part; the whole one is here."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", None) or "none"
