"""API keys: one's own, and for admins those of service accounts. A key itself manages none."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api import malformed, reauthentication
from api.answers import paging
from api.answers.paging import Cursor, Limit
from api.dependencies import ApiKeyId, By, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import ApiKeyForm, RotationForm
from api.identity.access import Caller, ManagesKeys
from api.views.api_keys import PATH, ApiKeyView, NewApiKeyView, key_path
from api.views.base import PageView
from models import errors
from models.identity import api_key_desk, api_keys
from models.identity.api_key_desk import NewKey, Rotation, Wanted
from models.identity.api_keys import Filter
from models.identity.permissions import Permission

router = APIRouter(prefix=PATH, tags=["api-keys"], route_class=JsonRoute)


def _visible_to(caller: Caller) -> UUID | None:
    """Whose keys the caller may see and revoke: only their own, or (None) everybody's."""
    return None if caller.may(Permission.MANAGE_ALL_KEYS) else caller.id


async def _filter(
    caller: ManagesKeys, user_id: Annotated[UUID | None, Query(description="only those of this owner")] = None
) -> Filter:
    return Filter(_visible_to(caller), user_id)


@router.post(
    "",
    status_code=201,
    responses=may_refuse(errors.WrongPassword, errors.PermissionNotHeld, errors.NoServiceAccount, errors.TooManyKeys),
)
async def make_api_key(
    caller: ManagesKeys, form: ApiKeyForm, response: Response, services: OurServices, by: By
) -> NewApiKeyView:
    """Make a key for yourself; admins also for a service account (`user_id`). Its `secret` is shown this once.

    A key speaks for its owner, with those of its `permissions` that the owner's role has at that moment. It can be
    given none over accounts, passwords, keys or dead letters. If the answer is lost, revoke the key that nobody got.
    """
    asking = await reauthentication.demand(services, caller, form.password, by)
    wanted = Wanted(form.name, form.permissions, timedelta(days=form.expires_in_days))
    made = await services.database.run(api_key_desk.make, form.user_id or caller.id, wanted, asking, by)
    return _answer(made, response)


@router.get("", responses=may_refuse(malformed.InvalidCursor))
async def list_api_keys(
    caller: ManagesKeys,
    request: Request,
    response: Response,
    services: OurServices,
    narrowed: Annotated[Filter, Depends(_filter)],
    limit: Limit = paging.LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> PageView[ApiKeyView]:
    """Your keys, the newest first; for admins, everybody's. Those that ended stay in the list for 90 days."""
    cursors = paging.cursors(request, services, caller)
    before = UUID(cursors.read(cursor)[0]) if cursor is not None else None
    found = await services.database.run(api_keys.page, narrowed, before, limit + 1)
    page, following = paging.cut(found, limit, lambda key: cursors.write(str(key.id)))
    paging.link_next(request, response, following)
    return PageView(data=[ApiKeyView.of(each) for each in page], has_more=bool(following), next_cursor=following)


@router.get("/{key_id}", responses=may_refuse(errors.NotFound))
async def get_api_key(caller: ManagesKeys, key_id: ApiKeyId, services: OurServices) -> ApiKeyView:
    """One key, without its secret."""
    return ApiKeyView.of(await services.database.run(api_keys.get, key_id, _visible_to(caller)))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    responses=may_refuse(
        errors.NotFound, errors.WrongPassword, errors.NoServiceAccount, errors.KeyEnded, errors.KeyRotated
    ),
)
async def rotate_api_key(
    caller: ManagesKeys, key_id: ApiKeyId, form: RotationForm, response: Response, services: OurServices, by: By
) -> NewApiKeyView:
    """Make the key that takes this one's place, with the same permissions. The old one is good for the overlap.

    If the answer is lost, ask again during the overlap: a successor that was never used is revoked, and another takes
    its place. Without an overlap, make a new key.
    """
    await services.database.run(api_keys.get, key_id, _visible_to(caller))
    asking = await reauthentication.demand(services, caller, form.password, by)
    wanted = Rotation(timedelta(seconds=form.overlap_seconds), timedelta(days=form.expires_in_days))
    made = await services.database.run(api_key_desk.rotate, key_id, _visible_to(caller), wanted, asking, by)
    return _answer(made, response)


@router.delete("/{key_id}", status_code=204, responses=may_refuse(errors.NotFound))
async def revoke_api_key(caller: ManagesKeys, key_id: ApiKeyId, services: OurServices, by: By) -> Response:
    """Revoke a key: within 5 s no process takes it any more. Again is no error. Admins can revoke anybody's."""
    await services.database.run(api_key_desk.revoke, key_id, _visible_to(caller), by)
    return Response(status_code=204)


def _answer(made: NewKey, response: Response) -> NewApiKeyView:
    response.headers["Location"] = key_path(made.key.id)
    return NewApiKeyView.with_secret(made)
