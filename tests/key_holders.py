"""Machines that show API keys, and the people who make them."""

from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any

import httpx2
from api_client import Client

from models.audit_log import NOBODY
from models.identity import accounts, api_key_desk, passwords, users
from models.identity.api_key_desk import NewKey, Wanted
from models.identity.permissions import FOR_KEYS, GRANTED, Permission, Role
from models.identity.users import User
from runtime import database, settings
from runtime.database import Role as DatabaseRole

KEYS = "/v1/api-keys"
PASSWORD = "a lovely day in may"


@cache
def _hashed() -> str:
    return passwords.hasher(settings.current()).hash(PASSWORD)


def person(role: Role = Role.CUSTOMER, email: str = "ada@example.com") -> User:
    """Somebody who knows their password."""
    with database.transaction(DatabaseRole.API) as connection:
        return users.register(connection, email, _hashed(), role, role.capitalize())


def service(name: str = "shop-sync", role: Role = Role.CUSTOMER) -> User:
    with database.transaction(DatabaseRole.API) as connection:
        return accounts.open_service(connection, name, role, None, NOBODY)


def key_of(owner: User, permissions: Iterable[Permission] | None = None, life: timedelta = timedelta(days=1)) -> NewKey:
    """A key for these permissions, or for all that there can be."""
    given = FOR_KEYS & GRANTED[owner.role] if permissions is None else set(permissions)
    by = None if owner.is_service else owner
    with database.transaction(DatabaseRole.API) as connection:
        return api_key_desk.make(connection, owner.id, Wanted("a machine", given, life), by, NOBODY)


def showing(url: str, made: NewKey) -> Client:
    """A client that shows this key."""
    return Client(url, None, made.secret)


def made_by(client: Client, *permissions: Permission, **more: Any) -> httpx2.Response:
    """Ask for a key, with the password that people know."""
    body = {"name": "a machine", "permissions": permissions, "password": PASSWORD, **more}
    return client.post(KEYS, json=body)


def rotated_by(client: Client, key_id: object, **more: Any) -> httpx2.Response:
    return client.post(f"{KEYS}/{key_id}/rotate", json={"password": PASSWORD, **more})
