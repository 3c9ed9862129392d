"""Asking a known caller for the password once more, before a change that a stolen token must not suffice for."""

from uuid import UUID

from api.services import Services
from models import errors, passwords, users


async def by_password(services: Services, user_id: UUID, password: str) -> None:
    """Return if this is the caller's password.

    Raises:
        errors.ReauthenticationFailed, errors.Unavailable
    """
    user = await services.database.run(users.by_id, user_id)
    password_hash = user.password_hash if user else None
    if not await services.hashing.run(lambda: passwords.matches(services.settings, password_hash, password)):
        raise errors.ReauthenticationFailed
