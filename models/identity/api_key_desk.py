"""What people do with API keys: making, rotating and revoking them. Each is in the audit log.

Whoever makes or rotates a key holds the owner's row until the commit: keys are counted one maker at a time, and none is
made for, or by, somebody who is being disabled, given another password or another role.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from models import audit_log, errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identifiers import uuid7
from models.identity import api_key_secrets, api_keys, revocations, users
from models.identity.api_keys import SHOWN, ApiKey
from models.identity.permissions import FOR_KEYS, GRANTED, Permission
from models.identity.users import User

LIVE_MAX = 20
NAME_CHARACTERS_MAX = 100
LIFE_DAYS, LIFE_DAYS_MAX = 90, 366
OVERLAP, OVERLAP_MAX = timedelta(days=1), timedelta(days=7)

_keys = api_keys.api_keys
_IS_LIVE: ColumnElement[bool] = _keys.c.expires_at > func.now()


@dataclass(frozen=True)
class NewKey:
    """A key with its secret, which is shown this once."""

    key: ApiKey
    secret: str


@dataclass(frozen=True)
class Wanted:
    """A key to be made."""

    name: str
    permissions: Collection[Permission]
    life: timedelta


def make(connection: Connection, owner_id: UUID, wanted: Wanted, by: User | None, requester: Requester) -> NewKey:
    """Make a key for oneself, or as an admin for a service account; `by` is who asks, as their password was verified,
    None the command line.

    Raises:
        errors.NoServiceAccount: the owner is another person, disabled, or nobody.
        errors.Forbidden: `by` is no admin, or somebody has changed their password, their role or their factors since.
        errors.PermissionNotHeld, errors.TooManyKeys
    """
    owner = _owner(connection, owner_id, by)
    if not set(wanted.permissions) <= FOR_KEYS & GRANTED[owner.role]:
        raise errors.PermissionNotHeld
    successor = _keys.alias()
    is_succeeded = select(1).where(successor.c.id == _keys.c.rotated_to, successor.c.expires_at > func.now()).exists()
    mine = (_keys.c.user_id == owner_id, _IS_LIVE, ~is_succeeded)
    if connection.execute(select(func.count()).select_from(_keys).where(*mine)).scalar_one() >= LIVE_MAX:
        raise errors.TooManyKeys
    made = _add(connection, owner_id, wanted)
    _record(connection, EventName.API_KEY_MADE, requester, made.key)
    return made


@dataclass(frozen=True)
class Rotation:
    """For how long both keys are good, and the new one in all."""

    overlap: timedelta
    life: timedelta


def rotate(
    connection: Connection, key_id: UUID, owner: UUID | None, wanted: Rotation, by: User | None, requester: Requester
) -> NewKey:
    """Make the key that takes the place of a key of this owner (None: of anybody); the old one is good for the overlap,
    and one whose place it took itself ends now. `by` as in `make`.

    If the answer is lost, ask again during the overlap: a successor that was never used is revoked, and another takes
    its place.

    Raises:
        errors.NotFound, errors.KeyEnded, errors.KeyRotated
        errors.NoServiceAccount, errors.Forbidden: as in `make`.
    """
    _owner(connection, api_keys.get(connection, key_id, owner).user_id, by)
    key = api_keys.get(connection, key_id, owner)  # as it is now that nobody else is at it
    if not connection.execute(select(_IS_LIVE).where(_keys.c.id == key_id)).scalar_one():
        raise errors.KeyEnded
    if key.rotated_to is not None:
        _withdraw(connection, key.rotated_to, requester)
    made = _add(connection, key.user_id, Wanted(key.name, key.permissions, wanted.life))
    _end(connection, (_keys.c.user_id == key.user_id) & (_keys.c.rotated_to == key_id), requester)
    ends_at = func.least(_keys.c.expires_at, func.now() + wanted.overlap)
    _change(connection, _keys.c.id == key_id, rotated_to=made.key.id, expires_at=ends_at)
    seconds = int(wanted.overlap.total_seconds())
    _record(connection, EventName.API_KEY_ROTATED, requester, key, successor=made.key.prefix, overlap_seconds=seconds)
    return made


def revoke(connection: Connection, key_id: UUID, owner: UUID | None, requester: Requester) -> None:
    """End a key of this owner (None: of anybody) within seconds, everywhere. One that has ended stays as it is.

    Raises:
        errors.NotFound
    """
    api_keys.get(connection, key_id, owner)
    _end(connection, _keys.c.id == key_id, requester)


def revoke_all(connection: Connection, user_id: UUID, requester: Requester) -> None:
    """End every key of an owner."""
    _end(connection, _keys.c.user_id == user_id, requester)


def _owner(connection: Connection, owner_id: UUID, by: User | None) -> User:
    """Whose keys are about to change, held until the commit, and so is who asks.

    Raises:
        errors.NoServiceAccount, errors.Forbidden
    """
    held = users.hold(connection, owner_id, *((by.id,) if by else ()))
    owner = held.get(owner_id)
    if by is not None:
        asking = held.get(by.id)
        if asking is None or not asking.is_as_known(by):
            raise errors.Forbidden
        if by.id == owner_id:
            return asking
        if not users.is_admin(asking):
            raise errors.Forbidden
    if owner is None or not owner.is_service or owner.disabled_at is not None:
        raise errors.NoServiceAccount
    return owner


def _withdraw(connection: Connection, successor_id: UUID, requester: Requester) -> None:
    """End a successor that nobody has used: its secret may be in an answer that was lost.

    Raises:
        errors.KeyRotated: somebody has.
    """
    used = select(_keys.c.last_used_at.is_not(None)).where(_keys.c.id == successor_id)
    if connection.execute(used).scalar_one_or_none():
        raise errors.KeyRotated(successor_id)
    _end(connection, _keys.c.id == successor_id, requester)


def _add(connection: Connection, owner_id: UUID, wanted: Wanted) -> NewKey:
    secret = api_key_secrets.make()
    row = insert(_keys).values(
        id=uuid7(),
        user_id=owner_id,
        name=wanted.name,
        prefix=secret[: secret.rindex("_")],
        sha256=api_key_secrets.digest(secret),
        permissions=sorted(wanted.permissions),
        expires_at=func.now() + wanted.life,
    )
    return NewKey(ApiKey.of(connection.execute(row.returning(*SHOWN)).one()), secret)


def _end(connection: Connection, which: ColumnElement[bool], requester: Requester) -> None:
    ended = _change(connection, which & _IS_LIVE, revoked_at=func.now(), expires_at=func.now())
    for key in ended:
        _record(connection, EventName.API_KEY_REVOKED, requester, key)


def _change(connection: Connection, which: ColumnElement[bool], **values: object) -> list[ApiKey]:
    """Change keys, and have every process forget what it remembers of them."""
    changed = update(_keys).where(which).values(epoch=_keys.c.epoch + 1, **values).returning(*SHOWN, _keys.c.epoch)
    rows = connection.execute(changed).all()
    for row in rows:
        revocations.revoke(connection, row.id, row.epoch)
    return [ApiKey.of(row) for row in rows]


def _record(connection: Connection, name: EventName, requester: Requester, key: ApiKey, **more: str | int) -> None:
    facts = {"key": key.prefix, **more}
    audit_log.record(connection, SecurityEvent(name, requester, key.user_id, facts))
