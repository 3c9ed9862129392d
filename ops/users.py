"""Accounts made from the command line: the first admin, and staff."""

from uuid import UUID

from models import audit_log, errors, passwords
from models import users as user_table
from models.audit_log import EventName, SecurityEvent
from models.permissions import Role
from ops import operator
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
    engine = database.engine(settings, database.Role.OWNER)
    try:
        with engine.begin() as connection:
            password_hash = passwords.hasher(settings).hash(password)
            user_id = user_table.register(connection, email, password_hash, role, name).id
            created = SecurityEvent(EventName.USER_CREATED, operator.requester(), user_id, {"role": role})
            audit_log.record(connection, created)
            return user_id
    finally:
        engine.dispose()
