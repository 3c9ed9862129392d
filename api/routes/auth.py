"""Registration, login, and what keeps a login alive."""

from fastapi import APIRouter, Response

from api import second_factor
from api.access import Public
from api.dependencies import OurServices
from api.forms import Login, RefreshToken, Registration
from api.json_bodies import JsonRoute
from api.openapi import refusals
from api.services import Services
from api.views import TokensView, UserView
from models import errors, passwords, refresh_tokens, users
from models.permissions import Role
from models.users import User

router = APIRouter(prefix="/v1/auth", tags=["auth"], dependencies=[Public], route_class=JsonRoute)


@router.post("/register", status_code=201, responses=refusals(errors.EmailTaken, errors.WeakPassword))
async def register(form: Registration, services: OurServices) -> UserView:
    """Open a customer account."""
    email = users.normal_email(form.email)
    passwords.check_strength(form.password, personal=(email, form.name or ""))
    password_hash = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(form.password))
    return UserView.of(await services.database.run(users.register, email, password_hash, Role.CUSTOMER, form.name))


@router.post("/login", responses=refusals(errors.InvalidCredentials, *second_factor.REFUSALS))
async def login(form: Login, services: OurServices) -> TokensView:
    """Exchange an address, a password, and with multi-factor login a code, for an access and a refresh token."""
    user = await services.database.run(users.by_email, form.email)
    password_hash = user.password_hash if user else None
    # An unknown or disabled user costs what a known one costs: nobody learns from the clock who has an account.
    is_match = await services.hashing.run(lambda: passwords.matches(services.settings, password_hash, form.password))
    if user is None or user.disabled_at is not None or not is_match:
        raise errors.InvalidCredentials
    await second_factor.demand(services, user, form.second_factor)
    life = services.settings.refresh_token_life
    return _tokens(services, user, await services.database.run(refresh_tokens.issue, user, life))


@router.post("/refresh", responses=refusals(errors.InvalidRefreshToken))
async def refresh(form: RefreshToken, services: OurServices) -> TokensView:
    """Spend a refresh token; the answer holds the one that takes its place."""
    life = services.settings.refresh_token_life
    user, successor = await services.database.run(refresh_tokens.exchange, form.refresh_token, life)
    return _tokens(services, user, successor)


@router.post("/logout", status_code=204)
async def logout(form: RefreshToken, services: OurServices) -> Response:
    """End the session that this refresh token belongs to."""
    await services.database.run(refresh_tokens.revoke, form.refresh_token)
    return Response(status_code=204)


def _tokens(services: Services, user: User, refresh_token: str) -> TokensView:
    return TokensView(
        access_token=services.tokens.issue(user),
        expires_in=int(services.settings.access_token_life.total_seconds()),
        refresh_token=refresh_token,
    )
