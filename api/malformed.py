"""Requests that do not have the form of one: the leaves of `errors.InvalidRequest`, which only the API meets.

InvalidRequest               UnreadableRequest · MalformedJson · UnknownQueryParameter · InvalidCursor ·
                             UnsupportedMediaType · BodyTooLarge · HeadersTooLarge · TargetTooLong · TooSlow
"""

from models.errors import InvalidRequest


class UnreadableRequest(InvalidRequest):
    """This is no HTTP/1.1 request that can be read in one way only."""

    code = "unreadable_request"


class MalformedJson(InvalidRequest):
    """The body is not valid JSON."""

    code = "malformed_json"


class UnknownQueryParameter(InvalidRequest):
    """A query parameter is unknown or given more than once."""

    code = "unknown_query_parameter"


class InvalidCursor(InvalidRequest):
    """The cursor was not issued for this list; start again without it."""

    code = "invalid_cursor"


class UnsupportedMediaType(InvalidRequest):
    """Send the body as application/json."""

    code = "unsupported_media_type"


class BodyTooLarge(InvalidRequest):
    """The body is larger than this endpoint accepts."""

    code = "body_too_large"


class HeadersTooLarge(InvalidRequest):
    """The request has more than 64 header fields, or more than 16 KiB of them."""

    code = "headers_too_large"


class TargetTooLong(InvalidRequest):
    """The path and the query together are longer than 4 KiB."""

    code = "target_too_long"


class TooSlow(InvalidRequest):
    """The request did not arrive in time; send it again."""

    code = "request_timeout"
