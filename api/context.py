"""What belongs to the request being answered: its id, and the trace it is part of."""

import re
import secrets
from contextvars import ContextVar

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

# W3C Trace Context, section 3.2: version 00, with ids that are not all zeros.
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin(offered: str | None, traceparent: str | None = None) -> str:
    """Begin a request under the client's id if it is well formed, else under a new one; and in the client's trace."""
    _traceparent.set(traceparent if traceparent and TRACEPARENT.fullmatch(traceparent) else None)
    accepted = offered if offered and ACCEPTED_REQUEST_ID.fullmatch(offered) else f"req_{secrets.token_urlsafe(15)}"
    _request_id.set(accepted)
    return accepted


def request_id() -> str | None:
    return _request_id.get()


def traceparent() -> str | None:
    """The client's trace, which its order takes along."""
    return _traceparent.get()
