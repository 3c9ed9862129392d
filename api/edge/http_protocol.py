"""One connection: uvicorn's parser of requests, under limits of time that uvicorn does not know (SECURITY S26, S28).

A request's head and body must arrive in time, an answer must be read, and a refusal reaches also a client that is still
sending. No request pays for that with a timer: once a second `ops/serve.py` has every connection look how long it has
been in the state that it is in. What cannot be read never becomes a request, and is refused here like every other.
"""

import math
import time
from collections.abc import Iterable
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api import context, malformed, problems
from api.edge.access_log import log
from api.edge.middleware import BEGUN, LATE, template
from api.edge.request_limits import FIELD_BYTES_MAX, TARGET_BYTES_MAX
from api.edge.security_headers import SecurityHeaders
from models import errors
from runtime.settings import Settings

# How much of a head there may be before it is complete: whether a complete one is too large is the edge's to say.
HEAD_BYTES_MAX = FIELD_BYTES_MAX + 2 * TARGET_BYTES_MAX
# A client that is still sending does not listen yet. After its answer it is heard out, so far and so long: if the
# connection were closed on what it sends, the answer would be lost on the way (RFC 9112, section 9.6).
LINGER_BYTES_MAX = 16 * 1024 * 1024
LINGER_SECONDS = 5.0
# Who takes less than this of an answer within `STALL_TIMEOUT` does not read it.
TAKEN_BYTES_MIN = 16 * 1024


class State(Enum):
    """What we wait for."""

    IDLE = auto()  # the client may begin a request
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()  # nothing: it is our turn
    LINGER = auto()  # the client is still sending what it has its answer to


class Door:
    """The transport, as uvicorn sees it: it closes the connection when the client has been heard out."""

    def __init__(self, transport: Any, protocol: "Protocol") -> None:
        self._protocol: Protocol | None = protocol
        self.write = transport.write
        self.is_closing = transport.is_closing

    def close(self) -> None:
        if self._protocol is not None:
            self._protocol.finish()

    def forget(self) -> None:
        """Let a connection that is lost be freed at once, and not when the garbage collector looks for cycles."""
        self._protocol = None


class Protocol(HttpToolsProtocol):
    transport: Any
    scope: Any  # the last request that was begun; None before the first
    cycle: Any  # the last request whose head was read, and its answer; None before the first

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        settings: Settings = self.app.state.settings
        self._security_headers = SecurityHeaders(settings)
        head_seconds = settings.headers_timeout.total_seconds()
        self._patience = {State.IDLE: head_seconds, State.HEAD: head_seconds, State.LINGER: LINGER_SECONDS}
        self._request_seconds = settings.request_timeout.total_seconds()
        self._stall_seconds = settings.stall_timeout.total_seconds()
        self._is_deaf = False  # all is said; what the client still sends is thrown away
        self._head_since = time.perf_counter()  # or the connection, as long as nothing has come
        self._head_bytes = self._unheard_bytes = self._untaken_bytes = 0
        # What the last look saw, and since when.
        self._state, self._request = State.IDLE, self.scope
        self._state_since = self._request_since = self._untaken_since = self.loop.time()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wire, self.transport = transport, Door(transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        cycle = self.cycle
        if self._is_deaf or (cycle is not None and cycle.response_complete and cycle.more_body):
            self._unheard_bytes += len(data)
            if self._unheard_bytes > LINGER_BYTES_MAX:
                self._wire.close()
            if self._is_deaf or self._wire.is_closing():
                return
        self._feed(data)
        if not self._is_in_head():
            self._head_bytes = 0
            return
        if not self._head_bytes:
            self._head_since = time.perf_counter()
        # Together with its first part, the rest of the request before it may have come: that does not count.
        self._head_bytes += len(data) if self._head_bytes else 1
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(malformed.HeadersTooLarge() if self.headers else malformed.TargetTooLong())

    def _feed(self, data: bytes) -> None:
        """What uvicorn does, but what comes behind a request that asks for another protocol is not lost."""
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as unwanted:
                data = data[unwanted.args[0] :]
            except httptools.HttpParserError:
                self._refuse_the_unreadable()
                data = b""

    def on_response_complete(self) -> None:
        """What uvicorn does, but without a timer for every answer: `look` notices a connection that is idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._untaken_bytes = 0  # It reads: what it leaves from now on is measured anew.

    def _refuse_the_unreadable(self) -> None:
        # The parser cannot take a target apart that is longer than 64 KiB.
        is_too_long = self._is_in_head() and len(self.url) > TARGET_BYTES_MAX
        self._refuse(malformed.TargetTooLong() if is_too_long else malformed.UnreadableRequest())

    def finish(self) -> None:
        """Close the connection; if the client is still sending, as soon as it has had a chance to read its answer."""
        is_sending = self.cycle is not None and self.cycle.more_body and not self._is_deaf
        if is_sending and not self.pipeline and not self._wire.is_closing():
            self._stop_listening()
        else:
            self._wire.close()

    def look(self) -> None:
        """Notice what has changed since the last look, and end what has not for too long."""
        now = self.loop.time()
        if self.flow.write_paused or self._wire.is_closing():
            self._look_whether_it_reads(now)
            return
        self._untaken_bytes, self._untaken_since = 0, now
        state = self._state_now()
        if self._request is not self.scope:
            self._request, self._request_since, self._unheard_bytes = self.scope, now, 0
            self._state_since = now
        if state is not self._state or self._makes_it_wait():
            self._state, self._state_since = state, now
        elif state is State.BODY:
            if now - self._request_since > self._request_seconds:
                self._cut(state)
        elif now - self._state_since > self._patience.get(state, math.inf):
            self._cut(state)

    def _look_whether_it_reads(self, now: float) -> None:
        untaken = self._wire.get_write_buffer_size()
        if self._untaken_bytes == 0 or self._untaken_bytes - untaken >= TAKEN_BYTES_MIN:
            self._untaken_bytes, self._untaken_since = untaken, now
        elif now - self._untaken_since > self._stall_seconds:
            log.warning("a client does not read its answer", client=self._peer())
            self._wire.abort()

    def _state_now(self) -> State:
        cycle = self.cycle
        if self._is_deaf:
            is_answered = cycle is None or cycle.response_complete or cycle.disconnected
            return State.LINGER if is_answered else State.ANSWER
        if self._is_in_head():
            return State.HEAD
        if cycle is None:
            return State.IDLE
        if cycle.more_body:
            return State.LINGER if cycle.response_complete else State.BODY
        return State.IDLE if cycle.response_complete else State.ANSWER

    def _is_in_head(self) -> bool:
        scope = self.scope
        return scope is not None and (self.cycle is None or self.cycle.scope is not scope)

    def _makes_it_wait(self) -> bool:
        """Whether the client cannot go on: what it sends comes behind a request that is not answered yet."""
        is_behind = self._is_in_head() and self.cycle is not None and not self.cycle.response_complete
        return is_behind or bool(self.pipeline) or self.flow.read_paused

    def _cut(self, state: State) -> None:
        if state is State.BODY and not self.cycle.response_started:
            self.cycle.scope["state"][LATE] = True  # The edge answers.
            self.cycle.message_event.set()
        elif state is State.HEAD or (state is State.IDLE and self.cycle is None):
            self._refuse(malformed.TooSlow())
        else:
            self._wire.close()

    def _stop_listening(self) -> None:
        """Say that this was all, and throw away what still comes."""
        self._is_deaf = True
        self._wire.write_eof()

    def _refuse(self, error: errors.OrderPipelineError) -> None:
        """Answer what never became a request, or will never be a whole one."""
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and not cycle.more_body):
            self._wire.write(self._spelled(error))
            self._stop_listening()
        elif cycle.response_complete:  # It has its answer; what is behind that cannot be read.
            self._wire.close()
        elif cycle.response_started or self._makes_it_wait():
            # An answer in the middle of another would be read as part of it.
            self._is_deaf, cycle.keep_alive = True, False
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._wire.write(self._spelled(error, cycle.scope))
            self._stop_listening()

    def _spelled(self, error: errors.OrderPipelineError, scope: Scope | None = None) -> bytes:
        """The whole answer; `scope` is of the request whose head could be read. Its own line in the log follows, with
        the same id and without a status."""
        status = HTTPStatus(problems.status_of(type(error)))
        begun_id, began = (scope["state"].get(BEGUN) if scope else None) or (None, self._begun_at())
        request_id = context.begin(begun_id)
        body = problems.document(error, request_id)
        headers = (
            *self.server_state.default_headers,
            *self._security_headers.always,
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        )
        log.info(
            "request",
            method=scope["method"] if scope else None,
            route=template(scope) if scope else "none",
            status=status,
            ms=round((time.perf_counter() - began) * 1000, 1),
            caller=scope["state"].get("caller") if scope else None,
            client=self._peer(),
            code=error.code,
            request_id=request_id,
        )
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        return b"".join([f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode(), *lines, b"\r\n", body])

    def _begun_at(self) -> float:
        """When that began of which there is no whole head: with its first part, where there was one before. Else it is
        the first on its connection, and began with that, or it came just now."""
        return self._head_since if self._head_bytes or self.cycle is None else time.perf_counter()

    def _peer(self) -> str | None:
        return self.client[0] if self.client else None


def look_at(connections: Iterable[object]) -> None:
    """Have every connection look whether its client keeps it waiting for too long."""
    for connection in list(connections):
        if isinstance(connection, Protocol):
            connection.look()
