"""The headers that make every answer harmless to whoever shows it, and to whoever stands between (SECURITY S33)."""

from collections.abc import Sequence

from starlette.types import Scope

from api.edge import client_address
from runtime.settings import Settings

HeaderPairs = tuple[tuple[bytes, bytes], ...]

ALWAYS: HeaderPairs = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
# The one page for browsers: Swagger UI, all of it from here; its icons are data inside its style sheet.
DOCUMENTATION = "/docs"
DOCUMENTATION_POLICY = (
    b"content-security-policy",
    (
        b"default-src 'none'; connect-src 'self'; frame-ancestors 'none'; "
        b"script-src 'self'; style-src 'self'; img-src 'self' data:"
    ),
)
# For a year, browsers speak TLS to us and nothing else (RFC 6797).
HSTS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeaders:
    """What a deployment adds to its answers."""

    def __init__(self, settings: Settings) -> None:
        self.always = (*ALWAYS, HSTS) if settings.hsts else ALWAYS
        self._names = frozenset(name for name, _ in (*ALWAYS, HSTS))
        # Without listed proxies nobody but the setting can know: we do not speak TLS ourselves.
        self._asks_for_tls = bool(settings.trusted_proxies) and not settings.hsts

    def add_to(self, answer: list[tuple[bytes, bytes]], scope: Scope) -> None:
        """Add to the headers of an answer those that it has not."""
        if scope["path"] == DOCUMENTATION:
            answer.append(DOCUMENTATION_POLICY)
        names = {name for name, _ in answer}
        answer.extend(self.always if self._names.isdisjoint(names) else _without(self.always, names))
        if self._asks_for_tls and client_address.came_by_tls(scope):
            answer.append(HSTS)


def _without(headers: HeaderPairs, names: set[bytes]) -> Sequence[tuple[bytes, bytes]]:
    return [header for header in headers if header[0] not in names]
