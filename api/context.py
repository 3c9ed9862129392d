"""What belongs to the request being answered: its id, and the trace it is part of."""

import re
import secrets
from contextvars import ContextVar

from runtime import tracing

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin(offered: str | None, traceparent: str | None = None) -> str:
    """Begin a request under the client's id if it is well formed, else under a new one; and in the client's trace."""
    _traceparent.set(traceparent if traceparent and tracing.TRACEPARENT.fullmatch(traceparent) else None)
    accepted = offered if offered and ACCEPTED_REQUEST_ID.fullmatch(offered) else f"req_{secrets.token_urlsafe(15)}"
    _request_id.set(accepted)
    return accepted


def go_on_as(traceparent: str) -> None:
    """What is asked for from now on belongs to this span."""
    _traceparent.set(traceparent)


def request_id() -> str | None:
    return _request_id.get()


def traceparent() -> str | None:
    """The client's trace, or our part of it, which its order takes along."""
    return _traceparent.get()
