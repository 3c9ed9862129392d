"""Everybody's accounts, for admins."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api import malformed
from api.answers import paging
from api.answers.paging import Cursor, Limit
from api.dependencies import By, OurServices, UserId
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import Email, UserChange
from api.identity.access import ChangesUsers, SeesUsers
from api.views.accounts import AccountView
from api.views.base import PageView
from models import errors
from models.identity import accounts, users
from models.identity.accounts import Change
from models.identity.permissions import Role
from models.identity.users import Filter

router = APIRouter(prefix="/v1/users", tags=["users"], route_class=JsonRoute)


async def _filter(
    role: Annotated[Role | None, Query(description="only those in this role")] = None,
    disabled: Annotated[bool | None, Query(description="only those who are disabled, or who are not")] = None,
    email: Annotated[Email | None, Query(description="only the one with this address, however it is spelled")] = None,
    service: Annotated[bool | None, Query(description="only service accounts, or only people")] = None,
) -> Filter:
    return Filter(role, disabled, _address(email) if email is not None else None, service)


def _address(spelled: str) -> str:
    """The normal form; a refusal names the parameter, and not the member of a body."""
    try:
        return users.normal_email(spelled)
    except errors.InvalidRequest as refusal:
        flaws = [replace(flaw, pointer="email") for flaw in refusal.flaws]
        raise errors.InvalidRequest(flaws=flaws) from None


@router.get("", responses=may_refuse(malformed.InvalidCursor))
async def list_users(
    caller: SeesUsers,
    request: Request,
    response: Response,
    services: OurServices,
    narrowed: Annotated[Filter, Depends(_filter)],
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[AccountView]:
    """All accounts, the newest first."""
    cursors = paging.cursors(request, services, caller)
    before = UUID(cursors.read(cursor)[0]) if cursor is not None else None
    found = await services.database.run(users.page, narrowed, before, limit + 1)
    page, following = paging.cut(found, limit, lambda user: cursors.write(str(user.id)))
    paging.link_next(request, response, following)
    return PageView(data=[AccountView.of(each) for each in page], has_more=bool(following), next_cursor=following)


@router.patch("/{user_id}", responses=may_refuse(errors.NotFound, errors.OwnAccount, errors.LastAdmin, errors.NoAdmin))
async def change_user(
    caller: ChangesUsers, user_id: UserId, form: UserChange, services: OurServices, by: By
) -> AccountView:
    """Give somebody another role, disable or enable them. In every process it takes effect within 5 s.

    With another role their sessions go on, under new access tokens (`POST /v1/auth/refresh`). Disabling ends all their
    sessions; when they are enabled again, they log in anew. Their API keys follow their role, and are good for nothing
    while they are disabled. What is not given stays as it is.
    """
    change = Change(form.role, form.disabled)
    return AccountView.of(await services.database.run(accounts.change, user_id, change, caller.id, by))
