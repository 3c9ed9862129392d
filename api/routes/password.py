"""Changing one's own password."""

from fastapi import APIRouter, Response

from api.access import ChangesPassword
from api.dependencies import OurServices
from api.forms import PasswordChange
from api.json_bodies import JsonRoute
from api.openapi import refusals
from api.services import Services
from api.trail import By
from models import accounts, errors, passwords, users
from models.audit_log import EventName, Requester, SecurityEvent
from models.users import User

router = APIRouter(prefix="/v1/auth", tags=["auth"], route_class=JsonRoute)


@router.post(
    "/password",
    status_code=204,
    responses=refusals(errors.WrongPassword, errors.WeakPassword, errors.PasswordUnchanged),
)
async def change_password(caller: ChangesPassword, form: PasswordChange, services: OurServices, by: By) -> Response:
    """Change your own password. All other sessions of yours end, this one goes on with the tokens it has."""
    user = await services.database.run(users.by_id, caller.id)
    if user is None:
        raise errors.InvalidToken
    _check_choice(user, form)
    await services.throttle.password_change(user.id)
    await _check_current(services, user, form.current_password, by)
    await services.throttle.password_changed(user.id)
    chosen = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(form.new_password))
    if not await services.database.run(accounts.change_password, user, chosen, caller.session_id, by):
        raise errors.WrongPassword  # It was changed elsewhere, a moment ago.
    return Response(status_code=204)


def _check_choice(user: User, form: PasswordChange) -> None:
    """Raises errors.WeakPassword, errors.PasswordUnchanged."""
    passwords.check_strength(form.new_password, personal=(user.email, user.name or ""))
    if form.new_password == form.current_password:
        raise errors.PasswordUnchanged


async def _check_current(services: Services, user: User, password: str, by: Requester) -> None:
    """Raises errors.WrongPassword."""
    if not await services.hashing.run(lambda: passwords.matches(services.settings, user.password_hash, password)):
        services.trail.refused(SecurityEvent(EventName.PASSWORD_REFUSED, by, user.id))
        raise errors.WrongPassword
