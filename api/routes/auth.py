"""Registration, login, and what keeps a login alive."""

from dataclasses import replace

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from api.access import Public
from api.dependencies import ClientAddress, OurServices
from api.forms import Login, RefreshToken, Registration
from api.json_bodies import JsonRoute
from api.openapi import refusals
from api.services import Services
from api.trail import By
from api.views import TokensView, UserView
from models import audit_log, errors, passwords, refresh_tokens, users
from models.audit_log import EventName, Requester, SecurityEvent
from models.permissions import Role
from models.users import User

router = APIRouter(prefix="/v1/auth", tags=["auth"], dependencies=[Public], route_class=JsonRoute)


@router.post("/register", status_code=201, responses=refusals(errors.EmailTaken, errors.WeakPassword))
async def register(form: Registration, services: OurServices, address: ClientAddress) -> UserView:
    """Open a customer account."""
    services.hashing.expect_room()
    await services.throttle.registration(address)
    email = users.normal_email(form.email)
    passwords.check_strength(form.password, personal=(email, form.name or ""))
    password_hash = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(form.password))
    return UserView.of(await services.database.run(users.register, email, password_hash, Role.CUSTOMER, form.name))


@router.post("/login", responses=refusals(errors.InvalidCredentials))
async def login(form: Login, services: OurServices, by: By, address: ClientAddress) -> TokensView:
    """Exchange an e-mail address and a password for an access token and a refresh token."""
    services.hashing.expect_room()
    attempt = await services.throttle.login(form.email, address)
    user = await services.database.run(users.by_email, form.email)
    password_hash = user.password_hash if user else None
    # An unknown or disabled user costs what a known one costs: nobody learns from the clock who has an account.
    try:
        is_match = await services.hashing.run(
            lambda: passwords.matches(services.settings, password_hash, form.password)
        )
    except errors.Unavailable:
        await services.throttle.not_verified(attempt)
        raise
    if user is None or user.disabled_at is not None or not is_match:
        services.trail.refused(_failed_login(user, by, is_match=is_match))
        raise errors.InvalidCredentials
    await services.throttle.succeeded(attempt)
    life, event = services.settings.refresh_token_life, SecurityEvent(EventName.LOGIN_SUCCEEDED, by, user.id)
    begin_session = audit_log.recording(event, refresh_tokens.issue)
    return _tokens(services, user, await services.database.run(begin_session, user.id, life))


@router.post("/refresh", responses=refusals(errors.InvalidRefreshToken))
async def refresh(form: RefreshToken, services: OurServices, address: ClientAddress) -> TokensView:
    """Spend a refresh token; the answer holds the one that takes its place."""
    await services.throttle.refresh(address)
    life = services.settings.refresh_token_life
    user, successor = await services.database.run(refresh_tokens.exchange, form.refresh_token, life)
    return _tokens(services, user, successor)


@router.post("/logout", status_code=204)
async def logout(form: RefreshToken, services: OurServices, by: By, address: ClientAddress) -> Response:
    """End the session that this refresh token belongs to."""
    await services.throttle.refresh(address)
    await services.database.run(_end_session, form.refresh_token, SecurityEvent(EventName.LOGGED_OUT, by))
    return Response(status_code=204)


def _failed_login(user: User | None, by: Requester, *, is_match: bool) -> SecurityEvent:
    """The address is not kept, known or not (S39); what was wrong is for us, and not for who was refused (S7)."""
    if user is None:
        return SecurityEvent(EventName.LOGIN_FAILED, by, facts={"because": "unknown_account"})
    because = "disabled" if is_match else "wrong_password"
    return SecurityEvent(EventName.LOGIN_FAILED, by, user.id, {"because": because})


def _end_session(connection: Connection, token: str, event: SecurityEvent) -> None:
    """End a session; nothing is recorded where there was none to end."""
    user_id = refresh_tokens.revoke(connection, token)
    if user_id is not None:
        audit_log.record(connection, replace(event, user_id=user_id))


def _tokens(services: Services, user: User, refresh_token: str) -> TokensView:
    return TokensView(
        access_token=services.tokens.issue(user),
        expires_in=int(services.settings.access_token_life.total_seconds()),
        refresh_token=refresh_token,
    )
