"""Accounts, from the command line: the first admin, and what admins do over HTTP.

With the owner's database role: whoever may use it may do more than any admin.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from models import accounts, audit_log, errors, passwords
from models import users as user_table
from models.accounts import Change
from models.audit_log import EventName, SecurityEvent
from models.permissions import Role
from models.users import Filter, User
from ops import operator
from ops.failures import LocalError
from runtime import database
from runtime.settings import Settings

USERS_PER_PAGE = 500


def create(settings: Settings, email: str, password: str, role: Role, name: str | None) -> UUID:
    """Add a user of any role.

    Raises:
        errors.InvalidRequest, errors.WeakPassword, errors.EmailTaken
    """
    password_hash = _hash(settings, password, (email, name or ""))
    with _transaction(settings) as connection:
        user_id = user_table.register(connection, email, password_hash, role, name).id
        created = SecurityEvent(EventName.USER_CREATED, operator.requester(), user_id, {"role": role})
        audit_log.record(connection, created)
        return user_id


def found(settings: Settings, narrowed: Filter, limit: int) -> list[User]:
    """The users that match, the newest first."""
    users: list[User] = []
    with _transaction(settings) as connection:
        while len(users) < limit:
            wanted = min(USERS_PER_PAGE, limit - len(users))
            page = user_table.page(connection, narrowed, users[-1].id if users else None, wanted)
            users += page
            if len(page) < wanted:
                break
    return users


def change(settings: Settings, email: str, wanted: Change) -> User:
    """Give a user another role, disable or enable them.

    Raises:
        LocalError: nobody has this address.
        errors.LastAdmin
    """
    with _transaction(settings) as connection:
        return accounts.change(connection, _named(connection, email).id, wanted, None, operator.requester())


def set_password(settings: Settings, email: str, password: str) -> User:
    """Give a user another password, and end all their sessions.

    Raises:
        LocalError: nobody has this address.
        errors.WeakPassword
    """
    with _transaction(settings) as connection:
        user = _named(connection, email)
    password_hash = _hash(settings, password, (user.email, user.name or ""))
    with _transaction(settings) as connection:
        accounts.set_password(connection, user.id, password_hash, operator.requester())
    return user


def document(user: User) -> dict[str, Any]:
    """A user in the words of the API."""
    told = asdict(user)
    return {name: told[name] for name in ("id", "email", "name", "role", "created_at", "disabled_at")}


def show_list(users: Sequence[User], console: Console) -> None:
    if not users:
        console.print("no user matches")
        return
    table = Table("id", "email", "name", "role", "since", "disabled", box=None, pad_edge=False)
    for user in users:
        disabled = user.disabled_at.isoformat(" ", "seconds") if user.disabled_at else "–"
        cells = (user.id, user.email, user.name or "–", user.role, user.created_at.date(), disabled)
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def _named(connection: Connection, email: str) -> User:
    user = user_table.by_email(connection, email)
    if user is None:
        raise LocalError(f"nobody has the address {email}; nothing was changed.")
    return user


def _hash(settings: Settings, password: str, personal: tuple[str, ...]) -> str:
    if len(password) > passwords.CHARACTERS_MAX:
        raise errors.WeakPassword(f"A password has at most {passwords.CHARACTERS_MAX} characters.")
    passwords.check_strength(password, personal=personal)
    return passwords.hasher(settings).hash(password)


@contextmanager
def _transaction(settings: Settings) -> Iterator[Connection]:
    engine = database.engine(settings, database.Role.OWNER)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
