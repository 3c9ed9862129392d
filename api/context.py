"""What belongs to the request being answered: its id, and who sends it."""

import re
import secrets
from contextvars import ContextVar

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin(offered: str | None) -> str:
    """Begin a request under the client's id if it is well formed, else under a new one."""
    accepted = offered if offered and ACCEPTED_REQUEST_ID.fullmatch(offered) else f"req_{secrets.token_urlsafe(15)}"
    _request_id.set(accepted)
    return accepted


def request_id() -> str | None:
    return _request_id.get()
