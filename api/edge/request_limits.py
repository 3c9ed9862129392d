"""What is asked of a request before anybody looks at what it asks for: it is small, and can be read in one way only.

SECURITY S26, S27.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from starlette.types import Scope

from api import malformed

BODY_BYTES_MAX = 64 * 1024
AUTH_BODY_BYTES_MAX = 4 * 1024
AUTH_PREFIX = "/v1/auth/"
DIGITS_MAX = 9
FIELDS_MAX = 64
FIELD_BYTES_MAX = 16 * 1024
TARGET_BYTES_MAX = 4 * 1024
VERSIONS = ("1.1", "1.0")
# Of two of these, one proxy or library believes the first and another the last.
ONCE = (b"host", b"authorization")


def body_bytes_max(scope: Scope) -> int:
    return AUTH_BODY_BYTES_MAX if scope["path"].startswith(AUTH_PREFIX) else BODY_BYTES_MAX


def check(scope: Scope, fields: Sequence[tuple[bytes, bytes]], headers: Mapping[bytes, bytes], body_max: int) -> None:
    """Refuse a request by its head: `fields` as they came, `headers` the same by name.

    Raises:
        malformed.TargetTooLong, malformed.HeadersTooLarge
        malformed.UnreadableRequest: not exactly one Host, or more than one Authorization.
        malformed.BodyTooLarge: the body is announced to be. What is not announced is counted.
    """
    if len(scope["raw_path"]) + len(scope["query_string"]) >= TARGET_BYTES_MAX:  # one more is the question mark
        raise malformed.TargetTooLong
    if len(fields) > FIELDS_MAX or sum(map(len, chain.from_iterable(fields))) > FIELD_BYTES_MAX:
        raise malformed.HeadersTooLarge
    # Probes of old load balancers speak HTTP/1.0, which needs no Host; what names no version at all is not HTTP to us.
    if b"host" not in headers and scope["http_version"] != "1.0":
        raise malformed.UnreadableRequest
    if scope["http_version"] not in VERSIONS:
        raise malformed.UnreadableRequest
    if len(headers) < len(fields) and any(_count(fields, name) > 1 for name in ONCE):
        raise malformed.UnreadableRequest
    # More digits than the limit has: the parser has made sure that there is nothing else.
    announced = headers.get(b"content-length")
    if announced and (len(announced) > DIGITS_MAX or int(announced) > body_max):
        raise malformed.BodyTooLarge


def _count(fields: Sequence[tuple[bytes, bytes]], wanted: bytes) -> int:
    return sum(name == wanted for name, _ in fields)
