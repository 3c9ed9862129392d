"""`orders api-keys`: the keys of service accounts made, and anybody's listed and revoked, from the machine itself.

With the owner's database role, like `orders user`.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from models.identity import api_key_desk, api_key_secrets, api_keys
from models.identity.api_key_desk import NewKey, Rotation, Wanted
from models.identity.api_keys import ApiKey, Filter
from models.identity.permissions import Permission
from ops import operator, users
from ops.failures import LocalError
from ops.pages import gathered
from runtime.settings import Settings


def create(settings: Settings, owner: str, name: str, permissions: Collection[Permission], days: int) -> NewKey:
    """Make a key for a service account.

    Raises:
        LocalError: there is no such account, or it is no name.
        errors.Forbidden, errors.PermissionNotHeld, errors.TooManyKeys
    """
    if not 1 <= len(name) <= api_key_desk.NAME_CHARACTERS_MAX:
        raise LocalError(f"a key's name has 1 to {api_key_desk.NAME_CHARACTERS_MAX} characters.")
    with users.transaction(settings) as connection:
        wanted = Wanted(name, set(permissions), timedelta(days=days))
        owner_id = users.named(connection, owner).id
        return api_key_desk.make(connection, owner_id, wanted, None, operator.requester())


def found(settings: Settings, owner: str | None, limit: int) -> list[ApiKey]:
    """Keys, the newest first: an owner's, or everybody's."""
    with users.transaction(settings) as connection:
        narrowed = Filter(None if owner is None else users.named(connection, owner).id)
        return gathered(lambda after, count: api_keys.page(connection, narrowed, after, count), limit)


def rotate(settings: Settings, prefix: str, overlap_seconds: int, days: int) -> NewKey:
    """Make the key that takes the place of one of a service account.

    Raises:
        LocalError: there is no such key.
        errors.Forbidden, errors.KeyEnded, errors.KeyRotated
    """
    with users.transaction(settings) as connection:
        wanted = Rotation(timedelta(seconds=overlap_seconds), timedelta(days=days))
        key_id = _named(connection, prefix).id
        return api_key_desk.rotate(connection, key_id, None, wanted, None, operator.requester())


def revoke(settings: Settings, prefix: str) -> ApiKey:
    """Revoke a key, whoever owns it; one that has ended stays as it is.

    Raises:
        LocalError: there is no such key.
    """
    with users.transaction(settings) as connection:
        key_id = _named(connection, prefix).id
        api_key_desk.revoke(connection, key_id, None, operator.requester())
        return api_keys.get(connection, key_id, None)


def document(key: ApiKey) -> dict[str, Any]:
    """A key in the words of the API."""
    return {**asdict(key), "permissions": sorted(key.permissions)}


def new_document(made: NewKey) -> dict[str, Any]:
    return {**document(made.key), "secret": made.secret}


def show_list(keys: Sequence[ApiKey], console: Console) -> None:
    if not keys:
        console.print("no API key matches")
        return
    table = Table("prefix", "owner", "name", "permissions", "ends", "last used", "", box=None, pad_edge=False)
    now = datetime.now(UTC)
    for key in keys:
        used = key.last_used_at.isoformat(" ", "minutes") if key.last_used_at else "never"
        permissions = " ".join(sorted(key.permissions))
        cells = (key.prefix, key.user_id, key.name, permissions, key.expires_at.isoformat(" ", "minutes"), used)
        table.add_row(*(escape(str(cell)) for cell in cells), _state(key, now))
    console.print(table)


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at <= now:
        return "expired"
    return "rotated" if key.rotated_to is not None else "good"


def _named(connection: Connection, prefix: str) -> ApiKey:
    """By what lists and logs show of it. Who gives the whole secret, because that is what leaked, is understood."""
    match = api_key_secrets.PREFIX.match(prefix)
    key = api_keys.by_prefix(connection, match[0]) if match else None
    if key is None:
        raise LocalError("there is no API key that begins like this; nothing was changed.")
    return key
