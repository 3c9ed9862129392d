"""Changing one's own password."""

from fastapi import APIRouter, Response

from api import reauthentication
from api.dependencies import By, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import PasswordChange
from api.identity.access import ChangesPassword
from models import errors
from models.identity import accounts, passwords
from models.identity.users import User

router = APIRouter(prefix="/v1/auth", tags=["auth"], route_class=JsonRoute)


@router.post(
    "/password",
    status_code=204,
    responses=may_refuse(errors.WrongPassword, errors.WeakPassword, errors.PasswordUnchanged),
)
async def change_password(caller: ChangesPassword, form: PasswordChange, services: OurServices, by: By) -> Response:
    """Change your own password. All other sessions of yours end, this one goes on with the tokens it has."""
    user = await reauthentication.account(services, caller.id)
    _check_choice(user, form)
    await reauthentication.by_password(services, user, form.current_password, by)
    chosen = await services.hashing.run(lambda: passwords.hasher(services.settings).hash(form.new_password))
    if not await services.database.run(accounts.change_password, user, chosen, caller.session_id, by):
        raise errors.WrongPassword  # It was changed elsewhere, a moment ago.
    return Response(status_code=204)


def _check_choice(user: User, form: PasswordChange) -> None:
    """Raises errors.WeakPassword, errors.PasswordUnchanged."""
    passwords.check_strength(form.new_password, personal=user.personal_words)
    if form.new_password == form.current_password:
        raise errors.PasswordUnchanged
