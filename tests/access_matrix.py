"""Who may ask for what: the column "who" of DESIGN.md, section 8, held against what every caller is really answered.

`WHO` is written down from the design, and not taken from the code: a route that declares the wrong permission is
found out. A new operation needs one line in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import httpx2

from models.identity.permissions import Role


class Foreign(StrEnum):
    """What a customer gets who asks for what belongs to another one."""

    IS_MISSING = "404"
    IS_NOT_LISTED = "nothing of it"


@dataclass(frozen=True)
class Who:
    """Those who may ask; `roles` is None where it is everybody, with a token or without.

    Where things have owners, those of `everybodys` see all of them, and the others get `foreign` of who they are not.
    """

    roles: frozenset[Role] | None
    foreign: Foreign | None = None
    everybodys: frozenset[Role] = frozenset({Role.STAFF, Role.ADMIN})


ALL = Who(None)
USER = Who(frozenset(Role))
ORDERING = Who(frozenset({Role.CUSTOMER, Role.STAFF, Role.ADMIN}))
OWNER_OR_STAFF = Who(ORDERING.roles, Foreign.IS_MISSING)
KEY_OF_ONES_OWN = Who(frozenset(Role), Foreign.IS_MISSING, everybodys=frozenset({Role.ADMIN}))
# Not even an admin rotates the key of another person: each is asked to rotate one of theirs.
KEY_TO_ROTATE = Who(frozenset(Role), Foreign.IS_MISSING, everybodys=frozenset(Role))
OWN_OR_STAFF = Who(ORDERING.roles, Foreign.IS_NOT_LISTED)
ANALYSING = Who(frozenset({Role.ANALYST, Role.STAFF, Role.ADMIN}))
STAFF = Who(frozenset({Role.STAFF, Role.ADMIN}))
ADMIN = Who(frozenset({Role.ADMIN}))

WHO: Mapping[str, Who] = {
    "GET /health/liveness": ALL,
    "GET /health/readiness": ALL,
    "GET /.well-known/jwks.json": ALL,
    "POST /v1/auth/register": ALL,
    "POST /v1/auth/login": ALL,
    "POST /v1/auth/refresh": ALL,
    "POST /v1/auth/logout": ALL,
    "POST /v1/auth/password": USER,
    "GET /v1/users/me": USER,
    "GET /v1/users/me/mfa": USER,
    "POST /v1/users/me/mfa/totp": USER,
    "POST /v1/users/me/mfa/totp/confirm": USER,
    "DELETE /v1/users/me/mfa/totp": USER,
    "POST /v1/users/me/mfa/recovery-codes": USER,
    "GET /v1/api-keys": USER,
    "POST /v1/api-keys": USER,
    "GET /v1/api-keys/{key_id}": KEY_OF_ONES_OWN,
    "DELETE /v1/api-keys/{key_id}": KEY_OF_ONES_OWN,
    "POST /v1/api-keys/{key_id}/rotate": KEY_TO_ROTATE,
    "POST /v1/service-accounts": ADMIN,
    "GET /v1/users": ADMIN,
    "PATCH /v1/users/{user_id}": ADMIN,
    "GET /v1/products": USER,
    "GET /v1/products/{sku}": USER,
    "PUT /v1/products/{sku}": STAFF,
    "POST /v1/orders": ORDERING,
    "POST /v1/orders/batch": ORDERING,
    "GET /v1/orders": OWN_OR_STAFF,
    "GET /v1/orders/{order_id}": OWNER_OR_STAFF,
    "GET /v1/orders/{order_id}/events": OWNER_OR_STAFF,
    "GET /v1/orders/{order_id}/stream": OWNER_OR_STAFF,
    "POST /v1/orders/{order_id}/transitions": OWNER_OR_STAFF,
    "GET /v1/orders/{order_id}/transitions/{transition_id}": OWNER_OR_STAFF,
    "GET /v1/order-events": STAFF,
    "GET /v1/analytics/orders-per-day": ANALYSING,
    "GET /v1/analytics/revenue-by-user": ANALYSING,
    "GET /v1/analytics/status-counts": ANALYSING,
    "GET /v1/analytics/fulfilment-times": ANALYSING,
    "GET /v1/users/me/spend": ORDERING,
    "GET /v1/ops/pipeline": STAFF,
    "GET /v1/ops/dead-letters": STAFF,
    "GET /v1/ops/dead-letters/{letter_id}": STAFF,
    "POST /v1/ops/dead-letters/{letter_id}/replay": STAFF,
    "POST /v1/ops/dead-letters/{letter_id}/discard": STAFF,
}

# Whose credentials are none. All of them would be an admin's, so that nothing but the credentials can be at fault.
STRANGERS = ("none", "garbage", "wrong scheme", "tampered", "expired", "logged out", "disabled")
OWNER, OTHER_CUSTOMER = "customer", "other customer"
KNOWN: Mapping[str, Role] = {
    OWNER: Role.CUSTOMER,  # of what is asked for
    OTHER_CUSTOMER: Role.CUSTOMER,
    "staff": Role.STAFF,
    "analyst": Role.ANALYST,
    "admin": Role.ADMIN,
}
CALLERS = (*STRANGERS, *KNOWN)


def who_may(operation: str) -> Who:
    assert operation in WHO, f"say in WHO (tests/access_matrix.py) who may ask for {operation}"
    return WHO[operation]


def due(who: Who, caller: str) -> str:
    """The status that this caller is to get."""
    if who.roles is None:
        return "2xx"
    if caller in STRANGERS:
        return "401"
    if KNOWN[caller] not in who.roles:
        return "403"
    is_foreign = caller == OTHER_CUSTOMER or (caller != OWNER and KNOWN[caller] not in who.everybodys)
    return "404" if is_foreign and who.foreign is Foreign.IS_MISSING else "2xx"


@dataclass(frozen=True)
class Cell:
    """What one caller was answered, and what is wrong with it, if anything."""

    due: str
    status: int
    flaw: str = ""

    def __str__(self) -> str:
        return str(self.status) + ("✗" if self.flaw else "")


@dataclass
class Matrix:
    """All answers, by operation and caller."""

    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def flaws(self) -> Iterator[str]:
        for operation, row in self.rows.items():
            for caller, cell in row.items():
                if cell.flaw:
                    yield f"{operation}, asked by {caller}: {cell.status} for {cell.due}: {cell.flaw}"

    def __str__(self) -> str:
        width = max(map(len, self.rows))
        lines = [[" " * width, *CALLERS]]
        lines += [[name.ljust(width), *(str(row[caller]) for caller in CALLERS)] for name, row in self.rows.items()]
        return "\n".join(
            "  ".join(text.ljust(len(head)) for text, head in zip(each, lines[0], strict=True)) for each in lines
        )


def flaw_of(answer: httpx2.Response, status: str, missing: httpx2.Response | None = None) -> str:
    """What is wrong with an answer where this status is due; `missing` is what is said of a thing that nobody has."""
    if status == "2xx":
        return "" if answer.is_success else f"no success: {answer.text[:300]}"
    if answer.status_code != int(status):
        return answer.text[:300]
    if answer.headers["Content-Type"] != "application/problem+json":
        return "no problem document"
    if status == "401" and answer.headers.get("WWW-Authenticate") != 'Bearer error="invalid_token"':
        return f"WWW-Authenticate: {answer.headers.get('WWW-Authenticate')}"
    if missing is not None and _comparable(answer) != _comparable(missing):
        return f"can be told from a missing one: {_comparable(answer)}, {_comparable(missing)}"
    return ""


def _comparable(answer: httpx2.Response) -> tuple[int, Sequence[tuple[str, str]], str]:
    """All of an answer but what is another in every answer: its time, its request id, what is left of a limit."""
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in PASSING]
    return answer.status_code, headers, answer.text.replace(answer.headers["X-Request-ID"], "")


PASSING = {"date", "x-request-id", "ratelimit"}
