"""Asking a known caller for the password once more, before a change that a stolen token must not suffice for."""

from uuid import UUID

from api.services import Services
from models import errors, passwords, users
from models.audit_log import EventName, Requester, SecurityEvent
from models.users import User


async def demand(services: Services, user_id: UUID, password: str, by: Requester) -> None:
    """As `by_password`, of the user with this id."""
    await by_password(services, await account(services, user_id), password, by)


async def by_password(services: Services, user: User, password: str, by: Requester) -> None:
    """Return if this is the user's password. Tries are throttled like logins, and wrong ones are audited.

    Raises:
        errors.WrongPassword, errors.RateLimited, errors.Unavailable
    """
    await services.throttle.password_change(user.id)
    if not await services.hashing.run(lambda: passwords.matches(services.settings, user.password_hash, password)):
        services.trail.refused(SecurityEvent(EventName.PASSWORD_REFUSED, by, user.id))
        raise errors.WrongPassword
    await services.throttle.password_changed(user.id)


async def account(services: Services, user_id: UUID) -> User:
    """The caller, as they are stored.

    Raises:
        errors.InvalidToken: the token outlived the user.
    """
    user = await services.database.run(users.by_id, user_id)
    if user is None:
        raise errors.InvalidToken
    return user
