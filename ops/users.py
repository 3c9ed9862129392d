"""Accounts, from the command line: the first admin, and what admins do over HTTP.

With the owner's database role: whoever may use it may do more than any admin.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from models import audit_log, errors
from models.audit_log import EventName, SecurityEvent
from models.identity import accounts, mfa, passwords, users
from models.identity.accounts import Change
from models.identity.permissions import Role
from models.identity.users import Filter, User
from ops import operator
from ops.failures import LocalError
from ops.pages import gathered
from runtime import database
from runtime.settings import Settings


def create(settings: Settings, email: str, password: str, role: Role, name: str | None) -> UUID:
    """Add a user of any role.

    Raises:
        errors.InvalidRequest, errors.WeakPassword, errors.EmailTaken
    """
    password_hash = _hash(settings, password, (email, name or ""))
    with transaction(settings) as connection:
        user_id = users.register(connection, email, password_hash, role, name).id
        created = SecurityEvent(EventName.USER_CREATED, operator.requester(), user_id, {"role": role})
        audit_log.record(connection, created)
        return user_id


def create_service(settings: Settings, name: str, role: Role) -> UUID:
    """Add a service account.

    Raises:
        LocalError: it cannot be called so.
        errors.NameTaken, errors.NoAdmin
    """
    if not re.fullmatch(users.SERVICE_NAME_PATTERN, name):
        raise LocalError("a service account is called by 2 to 63 small letters, digits and hyphens, a letter first.")
    with transaction(settings) as connection:
        return accounts.open_service(connection, name, role, None, operator.requester()).id


def found(settings: Settings, narrowed: Filter, limit: int) -> list[User]:
    """The users that match, the newest first."""
    with transaction(settings) as connection:
        return gathered(lambda after, count: users.page(connection, narrowed, after, count), limit)


def change(settings: Settings, whom: str, wanted: Change) -> User:
    """Give a user, or a service account, another role; disable or enable them.

    Raises:
        LocalError: nobody is called so.
        errors.LastAdmin, errors.NoAdmin
    """
    with transaction(settings) as connection:
        return accounts.change(connection, named(connection, whom).id, wanted, None, operator.requester())


def set_password(settings: Settings, email: str, password: str) -> User:
    """Give a user another password, and end all their sessions and API keys.

    Raises:
        LocalError: nobody has this address, or it is a service account.
        errors.WeakPassword
    """
    with transaction(settings) as connection:
        user = named(connection, email)
    if user.is_service:
        raise LocalError(f"{email} is a service account, which has no password; nothing was changed.")
    password_hash = _hash(settings, password, user.personal_words)
    with transaction(settings) as connection:
        accounts.set_password(connection, user.id, password_hash, operator.requester())
    return user


def reset_mfa(settings: Settings, email: str) -> bool:
    """Turn off a user's multi-factor login, and end their sessions; returns whether it was on.

    Raises:
        LocalError: nobody has this address.
    """
    with transaction(settings) as connection:
        return mfa.reset(connection, named(connection, email).id, operator.requester())


def document(user: User) -> dict[str, Any]:
    """A user in the words of the API."""
    told = asdict(user)
    return {name: told[name] for name in ("id", "email", "name", "role", "created_at", "disabled_at")}


def show_list(found: Sequence[User], console: Console) -> None:
    if not found:
        console.print("no user matches")
        return
    table = Table("id", "email", "name", "role", "since", "disabled", box=None, pad_edge=False)
    for user in found:
        disabled = user.disabled_at.isoformat(" ", "seconds") if user.disabled_at else "–"
        cells = (user.id, user.email or "–", user.name or "–", user.role, user.created_at.date(), disabled)
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def named(connection: Connection, whom: str) -> User:
    """A user by their address, or a service account by its name.

    Raises:
        LocalError: nobody is called so.
    """
    is_address = "@" in whom
    user = users.by_email(connection, whom) if is_address else users.by_service_name(connection, whom)
    if user is None:
        what = "nobody has the address" if is_address else "no service account is called"
        raise LocalError(f"{what} {whom}; nothing was changed.")
    return user


def _hash(settings: Settings, password: str, personal: tuple[str, ...]) -> str:
    if len(password) > passwords.CHARACTERS_MAX:
        raise errors.WeakPassword(f"A password has at most {passwords.CHARACTERS_MAX} characters.")
    passwords.check_strength(password, personal=personal)
    return passwords.hasher(settings).hash(password)


@contextmanager
def transaction(settings: Settings) -> Iterator[Connection]:
    engine = database.engine(settings, database.Role.OWNER)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
