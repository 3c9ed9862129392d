"""Cross-origin requests (WHATWG Fetch, section 3.3): refused by saying nothing, unless an origin is listed (S34).

Callers send their token in a header, and never a cookie: `Access-Control-Allow-Credentials` is never sent.
"""

from collections.abc import Mapping

from runtime.settings import Origins

METHODS = b"DELETE, GET, PATCH, POST, PUT"
SENT = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, "
    b"Traceparent, X-Request-ID"
)
READ = (
    b"ETag, Idempotent-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, "
    b"X-Request-ID"
)
REMEMBERED_SECONDS = b"600"
ORIGIN, METHOD = b"origin", b"access-control-request-method"


class Cors:
    """What browsers are told about the listed origins."""

    def __init__(self, origins: Origins) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def add_to(self, answer: list[tuple[bytes, bytes]], asked: Mapping[bytes, bytes]) -> None:
        """Add to the headers of an answer what its origin may read of it."""
        answer.append((b"vary", b"Origin"))
        origin = asked.get(ORIGIN)
        if origin in self._origins:
            answer.append((b"access-control-allow-origin", origin))
            answer.append((b"access-control-expose-headers", READ))

    def is_preflight(self, method: str, asked: Mapping[bytes, bytes]) -> bool:
        """Whether a browser asks if it may ask, for a page of a listed origin."""
        return method == "OPTIONS" and METHOD in asked and asked.get(ORIGIN) in self._origins

    def permission(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer to that, beside those of `add_to`."""
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", SENT),
            (b"access-control-max-age", REMEMBERED_SECONDS),
        ]
