"""The nouns that endpoints ask for: headers and services, checked and typed.

All of them are `async`, though none waits for anything: FastAPI would run a plain function in a thread, at ten times
the cost.
"""

import re
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Path, Request

from api import context
from api.edge.client_address import client_address
from api.services import Services
from models import errors
from models.audit_log import Requester
from models.products import SKU_PATTERN

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
# A key without quotes, or with one pair of them.
KEY_PATTERN = r'^(?:[\x20\x21\x23-\x7e]{1,255}|"[\x20\x21\x23-\x7e]{1,255}")$'
QUOTED = re.compile(r'"(.*)"', re.DOTALL)
ETAG = re.compile(r'(?:W/)?"v(\d{1,9})"')
WAIT = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?(\d{1,9})"?(?:$|[,;\s])', re.IGNORECASE)
WAIT_SECONDS_MAX = 30
EVENT_ID = re.compile(r"\d{1,9}")
SKU = re.compile(SKU_PATTERN)
# A positive bigint; longer ones name nothing.
ROW_ID = re.compile(r"[1-9]\d{0,17}", re.ASCII)


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def read_idempotency_key(request: Request) -> str:
    """The key of a retryable request, one pair of double quotes stripped.

    Raises:
        errors.IdempotencyKeyMissing, errors.IdempotencyKeyInvalid
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        raise errors.IdempotencyKeyMissing
    quoted = QUOTED.fullmatch(given[0])
    key = quoted[1] if quoted else given[0]
    # Two keys would mean that some proxy and we may take different ones.
    if len(given) > 1 or not IDEMPOTENCY_KEY.fullmatch(key):
        raise errors.IdempotencyKeyInvalid
    return key


async def _idempotency_key(
    request: Request,
    _declared: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="new for every request, the same for every retry of it",
            json_schema_extra={"pattern": KEY_PATTERN},  # for readers: who breaks it is told 400, and not 422
        ),
    ] = None,
) -> str:
    return read_idempotency_key(request)


def parse_id(spelled: str) -> UUID:
    """An id from a path. What is no id names nothing: it is as missing as an unknown one.

    Raises:
        errors.NotFound
    """
    try:
        parsed = UUID(spelled)
    except ValueError:
        raise errors.NotFound from None
    if str(parsed) != spelled.lower():
        raise errors.NotFound
    return parsed


async def _order_id(order_id: Annotated[str, Path(description="the order's `id`")]) -> UUID:
    return parse_id(order_id)


async def _transition_id(transition_id: Annotated[str, Path(description="the `id` of the transition request")]) -> UUID:
    return parse_id(transition_id)


async def _user_id(user_id: Annotated[str, Path(description="the user's `id`")]) -> UUID:
    return parse_id(user_id)


async def _api_key_id(key_id: Annotated[str, Path(description="the API key's `id`")]) -> UUID:
    return parse_id(key_id)


async def _letter_id(letter_id: Annotated[str, Path(description="the dead letter's `id`")]) -> int:
    if not ROW_ID.fullmatch(letter_id):
        raise errors.NotFound
    return int(letter_id)


async def _sku(sku: Annotated[str, Path(description="the product's `sku`")]) -> str:
    if not SKU.fullmatch(sku):
        raise errors.NotFound
    return sku


@dataclass(frozen=True)
class Versions:
    """The versions that a conditional header names; tags that are not ours name none (RFC 9110, section 13.1)."""

    named: frozenset[int]
    is_any: bool

    def __contains__(self, version: int) -> bool:
        return self.is_any or version in self.named


def _versions(header: str | None) -> Versions:
    listed = [each.strip() for each in (header or "").split(",")]
    matches = [ETAG.fullmatch(each) for each in listed]
    return Versions(frozenset(int(match[1]) for match in matches if match), is_any="*" in listed)


async def _if_none_match(
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="the ETag the caller has; 304 while it holds")
    ] = None,
) -> Versions:
    return _versions(if_none_match)


@dataclass(frozen=True)
class Tags:
    """The entity tags that a caller has. They are compared weakly (RFC 9110, section 8.8.3.2)."""

    named: frozenset[str]

    def __contains__(self, tag: str) -> bool:
        return "*" in self.named or tag.removeprefix("W/") in self.named


async def _known_tags(
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="the ETag the caller has; 304 while it holds")
    ] = None,
) -> Tags:
    return Tags(frozenset(each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")))


async def _if_match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="move the order only if this is its ETag; else 412")
    ] = None,
) -> frozenset[int] | None:
    """The versions the caller believes in; None is any."""
    versions = _versions(if_match)
    return None if if_match is None or versions.is_any else versions.named


async def _last_event_id(
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="the last event seen; the stream goes on behind it")
    ] = None,
) -> int:
    """The last event a reconnecting client has seen; what is not one of our ids means the beginning."""
    return int(last_event_id) if last_event_id and EVENT_ID.fullmatch(last_event_id) else 0


async def _address(request: Request) -> str:
    return client_address(request.scope)


async def _wait(
    request: Request,
    prefer: Annotated[
        str | None, Header(alias="Prefer", description="`wait=N`: wait up to N seconds, at most 30 (RFC 7240)")
    ] = None,
) -> float:
    """How long the caller would like us to wait, in seconds (RFC 7240, section 4.3)."""
    match = WAIT.search(prefer) if prefer else None
    seconds = float(min(int(match[1]), WAIT_SECONDS_MAX)) if match else 0.0
    request.app.state.budgets.extend(seconds)
    return seconds


SkuInPath = Annotated[str, Depends(_sku)]
OurServices = Annotated[Services, Depends(_services)]
IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
OrderId = Annotated[UUID, Depends(_order_id)]
TransitionId = Annotated[UUID, Depends(_transition_id)]
UserId = Annotated[UUID, Depends(_user_id)]
ApiKeyId = Annotated[UUID, Depends(_api_key_id)]
LetterId = Annotated[int, Depends(_letter_id)]
IfNoneMatch = Annotated[Versions, Depends(_if_none_match)]
KnownTags = Annotated[Tags, Depends(_known_tags)]
IfMatch = Annotated[frozenset[int] | None, Depends(_if_match)]
LastEventId = Annotated[int, Depends(_last_event_id)]
ClientAddress = Annotated[str, Depends(_address)]
Wait = Annotated[float, Depends(_wait)]


async def _requester(request: Request) -> Requester:
    """Who asks, as their token says; nobody, before they have logged in."""
    actor = getattr(request.state, "caller", None)
    return Requester(actor, client_address(request.scope), context.request_id())


# Declared behind the guard, which finds out who the caller is.
By = Annotated[Requester, Depends(_requester)]
