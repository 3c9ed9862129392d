"""What the command line does with accounts: it makes the first admin, and lets back in who has lost a phone."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import Connection

from models import errors, mfa, passwords
from models import users as user_table
from models.permissions import Role
from ops.failures import LocalError
from runtime import database
from runtime.settings import Settings


def create(settings: Settings, email: str, password: str, role: Role, name: str | None) -> UUID:
    """Add a user of any role.

    Raises:
        errors.InvalidRequest, errors.WeakPassword, errors.EmailTaken
    """
    if len(password) > passwords.CHARACTERS_MAX:
        raise errors.WeakPassword(f"A password has at most {passwords.CHARACTERS_MAX} characters.")
    passwords.check_strength(password, personal=(email, name or ""))
    password_hash = passwords.hasher(settings).hash(password)
    with _transaction(settings) as connection:
        return user_table.register(connection, email, password_hash, role, name).id


def reset_mfa(settings: Settings, email: str) -> str:
    """Turn off a user's multi-factor login; returns what there is to say.

    Raises:
        LocalError: nobody has this address.
    """
    with _transaction(settings) as connection:
        user = user_table.by_email(connection, email)
        if user is None:
            raise LocalError("no user has this e-mail address; nothing was changed.")
        if mfa.reset(connection, user.id):
            return "multi-factor login is off, and all sessions have ended"
        return "multi-factor login was not on; nothing was changed"


@contextmanager
def _transaction(settings: Settings) -> Iterator[Connection]:
    engine = database.engine(settings, database.Role.OWNER)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()
