"""Accounts for machines, made by admins. They are users like others, but cannot log in: they show API keys."""

from fastapi import APIRouter

from api.dependencies import By, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import ServiceAccountForm
from api.identity.access import ChangesUsers
from api.views.accounts import AccountView
from models import errors
from models.identity import accounts

router = APIRouter(prefix="/v1/service-accounts", tags=["users"], route_class=JsonRoute)


@router.post("", status_code=201, responses=may_refuse(errors.NameTaken))
async def make_service_account(
    caller: ChangesUsers, form: ServiceAccountForm, services: OurServices, by: By
) -> AccountView:
    """Make an account for a machine. Give it a key with `make_api_key`, and its `id` as `user_id`.

    It stands in `list_users` without an address; `change_user` disables it, and with it all its keys, or gives it
    another role.
    """
    service = await services.database.run(accounts.open_service, form.name, form.role, caller.id, by)
    return AccountView.of(service)
