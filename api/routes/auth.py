"""Registration, login, and what keeps a login alive."""

from contextlib import suppress

from fastapi import APIRouter, Response

from api import second_factor
from api.dependencies import By, ClientAddress, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import Login, RefreshToken, Registration
from api.identity.access import Public
from api.identity.throttle import Attempt
from api.services import Services
from api.views.accounts import TokensView, UserView
from models import errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import accounts, passwords, refresh_tokens, users
from models.identity.permissions import Role
from models.identity.refresh_tokens import Grant
from models.identity.users import User

router = APIRouter(prefix="/v1/auth", tags=["auth"], dependencies=[Public], route_class=JsonRoute)


@router.post("/register", status_code=201, responses=may_refuse(errors.EmailTaken, errors.WeakPassword))
async def register(form: Registration, services: OurServices, address: ClientAddress) -> UserView:
    """Open a customer account."""
    services.hashing.expect_room()
    await services.throttle.registration(address)
    email = users.normal_email(form.email)
    passwords.check_strength(form.password, personal=(email, form.name or ""))
    password_hash = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(form.password))
    return UserView.of(await services.database.run(users.register, email, password_hash, Role.CUSTOMER, form.name))


@router.post("/login", responses=may_refuse(errors.InvalidCredentials, *second_factor.REFUSALS))
async def login(form: Login, services: OurServices, by: By, address: ClientAddress) -> TokensView:
    """Exchange an address, a password, and with multi-factor login a code, for an access and a refresh token."""
    services.hashing.expect_room()
    attempt = await _attempt(services, form.email, by, address)
    user = await _verified(services, form, by, attempt)
    await second_factor.demand(services, user, form.second_factor, by)
    # Not before: a right password without the code is a try like any other.
    await services.throttle.succeeded(attempt)
    return _tokens(services, await services.database.run(refresh_tokens.begin, user, services.sessions, by))


@router.post("/refresh", responses=may_refuse(errors.InvalidRefreshToken))
async def refresh(form: RefreshToken, services: OurServices, by: By, address: ClientAddress) -> TokensView:
    """Spend a refresh token; the answer holds the one that takes its place.

    If the answer is lost, ask again within 30 s: you get the same successor, unless it was used meanwhile. Whoever
    shows a spent token later ends the session.
    """
    await services.throttle.refresh(address)
    grant = await services.database.run(refresh_tokens.exchange, form.refresh_token, services.sessions, by)
    if grant is None:
        raise errors.InvalidRefreshToken
    return _tokens(services, grant)


@router.post("/logout", status_code=204)
async def logout(form: RefreshToken, services: OurServices, by: By, address: ClientAddress) -> Response:
    """End the session that this refresh token belongs to. Its access tokens are void within 5 s."""
    await services.throttle.refresh(address)
    await services.database.run(refresh_tokens.end_session, form.refresh_token, by)
    return Response(status_code=204)


async def _verified(services: Services, form: Login, by: Requester, attempt: Attempt) -> User:
    """The user whose password this is. An unknown or disabled one costs what a known one costs: nobody learns from the
    clock who has an account.

    Raises:
        errors.InvalidCredentials: for every reason alike.
    """
    user = await services.database.run(users.by_email, form.email)
    password_hash = user.password_hash if user else None
    try:
        is_match = await services.hashing.run(
            lambda: passwords.matches(services.settings, password_hash, form.password)
        )
    except errors.Unavailable:
        await services.throttle.not_verified(attempt)
        raise
    if user is None or user.disabled_at is not None or not is_match:
        services.refusals.add(_failed_login(user, by, is_match=is_match))
        raise errors.InvalidCredentials
    return await _rehashed(services, user, form.password)


async def _attempt(services: Services, email: str, by: Requester, address: str) -> Attempt:
    """The attempt, counted before anything is verified (S5).

    Raises:
        errors.RateLimited: there were too many attempts; this one is not looked at.
    """
    try:
        return await services.throttle.login(email, address)
    except errors.RateLimited as refusal:
        if refusal.is_first:
            services.refusals.add(SecurityEvent(EventName.LOGIN_THROTTLED, by))
        raise


def _failed_login(user: User | None, by: Requester, *, is_match: bool) -> SecurityEvent:
    """The address is not kept, known or not (S39); what was wrong is for us, and not for who was refused (S7)."""
    if user is None:
        return SecurityEvent(EventName.LOGIN_FAILED, by, facts={"because": "unknown_account"})
    because = "disabled" if is_match else "wrong_password"
    return SecurityEvent(EventName.LOGIN_FAILED, by, user.id, {"because": because})


async def _rehashed(services: Services, user: User, password: str) -> User:
    """The user, with a hash that costs what hashes cost now. Where there is no room to make one, next time will do."""
    if user.password_hash is not None and passwords.is_outdated(services.settings, user.password_hash):
        with suppress(errors.Unavailable):
            dearer = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(password))
            return await services.database.run(accounts.rehash, user, dearer)
    return user


def _tokens(services: Services, grant: Grant | None) -> TokensView:
    """What keeps somebody logged in.

    Raises:
        errors.InvalidCredentials: there is no grant, because something changed while the password was being verified.
    """
    if grant is None:
        raise errors.InvalidCredentials
    return TokensView(
        access_token=services.tokens.issue(grant.user, grant.session_id),
        expires_in=int(services.settings.access_token_life.total_seconds()),
        refresh_token=grant.token,
    )
