"""The edge: one pure-ASGI layer around everything, for what every request and every answer has in common.

Request ids, security headers, CORS, limits of size and of time, one access line per request, and the answer to every
exception. What it asks of a request is in `request_limits.py`, how long an answer may take in `budgets.py`; how long a
request may take to arrive, which only the connection can tell, in `http_protocol.py`.
"""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import context, malformed, problems
from api.edge import rate_limits, request_limits
from api.edge.access_log import log
from api.edge.budgets import Budgets
from api.edge.client_address import client_address
from api.edge.cors import Cors
from api.edge.security_headers import SecurityHeaders
from api.metrics.measures import Measures
from models import errors
from runtime import logs, tracing
from runtime.settings import Settings

# What is asked for all day by machines tells nothing about anybody's order.
UNTRACED = frozenset({"/health/liveness", "/health/readiness", "/metrics"})
# In a request's state: it did not arrive in time; and its id, with when it began, for who refuses the rest of it.
LATE = "late"
BEGUN = "begun"


class Edge:
    def __init__(self, app: ASGIApp, settings: Settings, budgets: Budgets, measures: Measures) -> None:
        self._app = app
        self.budgets = budgets
        self.measures = measures
        self.security_headers = SecurityHeaders(settings)
        self.cors = Cors(settings.cors_origins) if settings.cors_origins else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # It is the life of the process.
            async with self.budgets.watched():
                await self._app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        try:
            if not await exchange.is_settled():
                await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.is_given_up():
                raise
            await exchange.rescue(errors.TookTooLong())
        except Exception as error:
            await exchange.rescue(error)
        finally:
            exchange.end()


class _Exchange:
    """One request and its answer."""

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        self._began = time.perf_counter()
        self._task = edge.budgets.begin()
        self._edge = edge
        self._scope = scope
        self._receive = receive
        self._send = send
        self._headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self._request_id = context.begin(self._header(b"x-request-id"), self._header(b"traceparent"))
        scope["state"][BEGUN] = self._request_id, self._began
        self._body_bytes_left = request_limits.body_bytes_max(scope)
        self._read_ahead: Message | None = None
        self._status: int | None = None
        logs.clear()
        logs.bind(request_id=self._request_id)
        self._span = None
        if tracing.is_on() and scope["path"] not in UNTRACED:
            self._span = tracing.begin_request(scope["method"], context.traceparent())
            context.go_on_as(self._span.traceparent)
            logs.bind(trace_id=self._span.trace_id)

    async def is_settled(self) -> bool:
        """Whether the request was answered here already, because it is one of a browser that asks if it may ask.

        Raises:
            errors.InvalidRequest: it is too large, or can be read in two ways.
        """
        request_limits.check(self._scope, self._scope["headers"], self._headers, self._body_bytes_left)
        cors = self._edge.cors
        if cors and cors.is_preflight(self._scope["method"], self._headers):
            start = {"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": cors.permission()}
            await self.send(start)
            await self.send({"type": "http.response.body"})
            return True
        if b"transfer-encoding" in self._headers:
            self._read_ahead = await self._whole_body()
        return False

    async def _whole_body(self) -> Message:
        """A body whose length was not announced, counted before anybody asks who sends it (S26)."""
        body, more = bytearray(), True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    async def receive(self) -> Message:
        if self._read_ahead:
            message, self._read_ahead = self._read_ahead, None
            return message
        self._edge.budgets.suspend(self._task)
        message = await self._receive()
        if self._status is None:
            self._edge.budgets.begin_anew(self._task)
        if self._scope["state"].get(LATE):
            raise malformed.TooSlow
        if message["type"] == "http.request":
            self._body_bytes_left -= len(message.get("body", b""))
            if self._body_bytes_left < 0:
                raise malformed.BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._edge.budgets.suspend(self._task)
            self._status = message["status"]
            own = message["headers"]
            own.append((b"x-request-id", self._request_id.encode()))
            own.extend(rate_limits.fields(self._scope))
            self._edge.security_headers.add_to(own, self._scope)
            if self._edge.cors:
                self._edge.cors.add_to(own, self._headers)
        await self._send(message)

    def is_given_up(self) -> bool:
        """Whether it was cancelled because it took longer than it may, and has to be answered (S29)."""
        is_spent = self._edge.budgets.is_spent(self._task)
        if is_spent:
            log.warning("a request was given up", method=self._scope["method"], route=template(self._scope))
        return is_spent

    async def rescue(self, error: Exception) -> None:
        """Answer what nothing inside answered; when the answer has begun already, the connection has to go."""
        if isinstance(error, ClientDisconnect):  # Nobody is left to be answered.
            return
        if self._status is not None:
            log.warning("an answer was cut off", route=template(self._scope), error=type(error).__name__)
            raise error
        error = rate_limits.instead_of(error, self._scope)
        problem = problems.answer_to(error, self._scope)
        self._edge.measures.refused(problem.code)
        await problem(self._scope, self._receive, self.send)

    def end(self) -> None:
        self._edge.budgets.end(self._task)
        seconds, method, route = time.perf_counter() - self._began, self._scope["method"], template(self._scope)
        self._edge.measures.answered(method, route, self._status, seconds)
        log.info(
            "request",
            method=method,
            route=route,
            status=self._status,
            ms=round(seconds * 1000, 1),
            caller=self._scope.get("state", {}).get("caller"),
            client=client_address(self._scope),
        )
        if self._span:
            self._span.end(route, self._status, self._request_id)

    def _header(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")


def template(scope: Scope) -> str:
    """The template of the path. The route of an included router knows only its own part; the whole one is here."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", None) or "none"
