"""Who may do what. Every route declares one guard, a permission or `public`; the app refuses to start otherwise (S20).

A guard also refuses query parameters its route does not know, after the caller is known: nobody learns anything about
a route without a token.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from api import malformed
from api.edge import rate_limits
from api.identity import api_keys
from api.identity.tokens import Epochs
from models import errors
from models.identity.permissions import ENROLMENT, GRANTED, Permission, Role
from models.lifecycle import Actor
from runtime.settings import Environment

SCHEME = "Bearer "


@dataclass(frozen=True)
class Caller:
    """Who sent this request, as their token or API key says: in which session (a key has none), and what could be
    revoked of it meanwhile. `scope` is what a key narrows the role to."""

    id: UUID
    role: Role
    session_id: UUID | None
    epochs: Epochs
    must_enrol: bool = False
    scope: frozenset[Permission] | None = None

    def may(self, permission: Permission) -> bool:
        granted = ENROLMENT if self.must_enrol else GRANTED[self.role]
        return permission in granted and (self.scope is None or permission in self.scope)


Guard = Callable[[Request], Awaitable[Any]]


async def authenticate(request: Request) -> Caller:
    """The caller, from the one Authorization header.

    Raises:
        errors.InvalidToken: there is none, there are several, or it is not a valid token or API key, or was revoked.
        errors.Unavailable: this process cannot say whether it was revoked.
        errors.RateLimited: the caller has sent too many requests.
    """
    services = request.app.state.services
    shown = _bearer_token(request)
    if api_keys.is_meant(shown):
        identity = await services.api_keys.verify(shown, request.scope)
    else:
        identity = services.tokens.verify(shown)
    services.lookout.check(identity.epochs)
    rate_limits.charge_caller(request.scope, identity.user_id)
    request.state.caller = str(identity.user_id)
    return Caller(
        identity.user_id, identity.role, identity.session_id, identity.epochs, identity.must_enrol, identity.scope
    )


def _bearer_token(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if len(values) != 1 or values[0][: len(SCHEME)].lower() != SCHEME.lower():
        raise errors.InvalidToken
    return values[0][len(SCHEME) :].strip()


def visible_to(caller: Caller) -> UUID | None:
    """Whose orders the caller may see: only their own, or (None) everybody's."""
    return None if caller.may(Permission.SEE_ALL_ORDERS) else caller.id


def acting_as(caller: Caller) -> Actor:
    """In which capacity the caller moves an order."""
    return Actor.STAFF if caller.may(Permission.MOVE_ALL_ORDERS) else Actor.OWNER


def may(*permissions: Permission) -> Guard:
    """A guard that lets callers through who have any of these permissions."""

    async def guard(request: Request) -> Caller:
        caller = await authenticate(request)
        if not any(caller.may(permission) for permission in permissions):
            raise errors.MfaEnrolmentRequired if caller.must_enrol else errors.Forbidden
        check_query(request)
        return caller

    return _marked(guard)


async def _public(request: Request) -> None:
    rate_limits.charge_address(request.scope)
    check_query(request)


async def _scrapes(request: Request) -> None:
    """Let a monitoring system through, which shows METRICS_TOKEN. Without one, there are metrics at home only.

    Raises:
        errors.NotFound: this deployment shows no metrics.
        errors.InvalidToken: another token, or none.
    """
    settings = request.app.state.settings
    if settings.metrics_token is not None:
        expected = settings.metrics_token.get_secret_value().encode()
        if not compare_digest(_bearer_token(request).encode(), expected):
            raise errors.InvalidToken
    elif settings.environment is not Environment.LOCAL:
        raise errors.NotFound
    check_query(request)


def _marked(guard: Any) -> Guard:
    guard.is_guard = True
    checked: Guard = guard
    return checked


public = _marked(_public)

# Mounted on routes that need no token.
Public = Depends(public)
# Mounted on what monitoring systems read.
Scrapes = Depends(_marked(_scrapes))


def check_query(request: Request) -> None:
    """Refuse query parameters that the route does not declare, or that are given twice (S31)."""
    # Not from `request.url`: that is put together with the Host header, which may be anything.
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(set(names)) or not set(names) <= _known_parameters(request.scope["route"]):
        raise malformed.UnknownQueryParameter


def _known_parameters(route: APIRoute) -> frozenset[str]:
    fields = get_flat_params(route.dependant)
    return frozenset(field.alias for field in fields if isinstance(field.field_info, params.Query))


def unguarded(app: FastAPI) -> list[str]:
    """The routes whose first dependency is no guard. A release with one would serve it, or its errors, to everybody."""
    contexts = iter_route_contexts(app.routes)
    return [f"{sorted(context.methods or ())} {context.path}" for context in contexts if _guard(context) is None]


def is_public(context: RouteContext) -> bool:
    return _guard(context) is public


def _guard(context: RouteContext) -> Guard | None:
    """A route's first dependency, if it is a guard. Plain Starlette routes, mounts and websockets cannot have one."""
    if not isinstance(context.original_route, APIRoute):
        return None
    first = next((dependency.call for dependency in context.dependant.dependencies), None)
    return _marked(first) if getattr(first, "is_guard", False) else None


places = may(Permission.PLACE_ORDERS)
Places = Annotated[Caller, Depends(places)]
Sees = Annotated[Caller, Depends(may(Permission.SEE_OWN_ORDERS, Permission.SEE_ALL_ORDERS))]
SeesAllOrders = Annotated[Caller, Depends(may(Permission.SEE_ALL_ORDERS))]
Moves = Annotated[Caller, Depends(may(Permission.MOVE_OWN_ORDERS, Permission.MOVE_ALL_ORDERS))]
SeesAccount = Annotated[Caller, Depends(may(Permission.SEE_ACCOUNT))]
ManagesKeys = Annotated[Caller, Depends(may(Permission.MANAGE_OWN_KEYS, Permission.MANAGE_ALL_KEYS))]
SeesOwnSpending = Annotated[Caller, Depends(may(Permission.SEE_OWN_ORDERS))]
ChangesPassword = Annotated[Caller, Depends(may(Permission.CHANGE_PASSWORD))]
SeesUsers = Annotated[Caller, Depends(may(Permission.SEE_USERS))]
ChangesUsers = Annotated[Caller, Depends(may(Permission.CHANGE_USERS))]
ManagesMfa = Annotated[Caller, Depends(may(Permission.MANAGE_MFA))]
SeesProducts = Annotated[Caller, Depends(may(Permission.SEE_PRODUCTS))]
WritesProducts = Annotated[Caller, Depends(may(Permission.WRITE_PRODUCTS))]
SeesAnalytics = Annotated[Caller, Depends(may(Permission.SEE_ANALYTICS))]
SeesPipeline = Annotated[Caller, Depends(may(Permission.SEE_PIPELINE))]
SeesDeadLetters = Annotated[Caller, Depends(may(Permission.SEE_DEAD_LETTERS))]
ResolvesDeadLetters = Annotated[Caller, Depends(may(Permission.RESOLVE_DEAD_LETTERS))]
