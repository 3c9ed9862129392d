"""The headers of answers, as the description of the API tells them: which there are, and which answer has which."""

from collections.abc import Mapping
from typing import Any

HEADERS: Mapping[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "the request's id: the caller's own, if it sent one of 8 to 64 letters, digits, `-`, `_`",
        "example": "demo-order-0001",
    },
    "Location": {
        "description": "the path of what was made",
        "example": "/v1/orders/019cadd4-c134-74fe-9b1e-7a2c48e06f31",
    },
    "ETag": {"description": "what `If-None-Match` takes; of an order, its version", "example": '"v1"'},
    "Vary": {"description": "what else the answer depends on (RFC 9110)", "example": "Accept"},
    "Link": {
        "description": "the next page (RFC 8288), if there is one",
        "example": '</v1/orders?limit=20&cursor=…>; rel="next"',
    },
    "Idempotent-Replayed": {
        "description": "`true`: this is the answer to an earlier request with this key",
        "example": "true",
    },
    "Retry-After": {"description": "how many seconds to wait before trying again", "example": "1"},
    "RateLimit-Policy": {
        "description": "how much the caller, or without a token its address, may ask for: `q` requests in `w` seconds",
        "example": '"caller";q=6000;w=60',
    },
    "RateLimit": {
        "description": "how many requests are left at once (`r`), and when all are again (`t`, in seconds)",
        "example": '"caller";r=5999;t=1',
    },
    "WWW-Authenticate": {"description": "how to authenticate (RFC 6750)", "example": 'Bearer error="invalid_token"'},
}

_SPELLED = {name: header | {"schema": {"type": "string"}} for name, header in HEADERS.items()}
ALWAYS_THERE = {
    name: header | {"required": True}
    for name, header in _SPELLED.items()
    if name not in ("Link", "Idempotent-Replayed", "Vary", "RateLimit", "RateLimit-Policy")
}

# Only what is counted says what is left: that the process lives is answered to anybody.
EVERY: Mapping[str, bool] = {"X-Request-ID": True, "RateLimit-Policy": False, "RateLimit": False}
_AGGREGATES = ("orders_per_day", "revenue_by_user", "status_counts", "fulfilment_times", "get_spending")
# Operation and status → its headers, and whether they are always there. What follows from a rule is in `of`.
OWN: Mapping[tuple[str, str], Mapping[str, bool]] = {
    ("place_order", "201"): {"Location": True, "ETag": True},
    ("make_api_key", "201"): {"Location": True},
    ("rotate_api_key", "201"): {"Location": True},
    ("get_order", "200"): {"ETag": True},
    ("get_order", "304"): {"ETag": True},
    ("request_transition", "200"): {"Location": False, "ETag": False},
    ("request_transition", "202"): {"Location": True},
    **{(name, status): {"ETag": True, "Vary": False} for name in _AGGREGATES for status in ("200", "304")},
}
# Answers that are stored with the key, and given again when it comes again.
STORED = frozenset({"201", "207", "409", "422"})


def of(operation_id: str, status: str, *, is_problem: bool, is_keyed: bool, is_page: bool) -> dict[str, Any]:
    """The `headers` of a response object. Those that the answer never lacks are references into `ALWAYS_THERE`."""
    found = {**EVERY, **OWN.get((operation_id, status), {})}
    if is_page:
        found["Link"] = False
    if is_problem and status == "401":
        found["WWW-Authenticate"] = True
    if is_keyed and status in STORED:
        found["Idempotent-Replayed"] = False
    if is_problem and (status in {"429", "503"} or (is_keyed and status == "409")):
        found["Retry-After"] = status in {"429", "503"}
    return {
        name: {"$ref": f"#/components/headers/{name}"} if is_always else _SPELLED[name]
        for name, is_always in found.items()
    }
