"""Asking a known caller for their password once more, before what a stolen access token must not suffice for."""

from uuid import UUID

from api.services import Services
from models import errors, passwords, users
from models.audit_log import EventName, Requester, SecurityEvent
from models.users import User


async def demand(services: Services, user_id: UUID, password: str, by: Requester) -> None:
    """Return if this is the caller's password.

    Raises:
        errors.InvalidToken: there is no such user any more.
        errors.RateLimited: there were too many tries; this one was not looked at.
        errors.WrongPassword
    """
    user = await services.database.run(users.by_id, user_id)
    if user is None:
        raise errors.InvalidToken
    await services.throttle.password_change(user.id)
    await check(services, user, password, by)
    await services.throttle.password_changed(user.id)


async def check(services: Services, user: User, password: str, by: Requester) -> None:
    """Raises errors.WrongPassword."""
    if not await services.hashing.run(lambda: passwords.matches(services.settings, user.password_hash, password)):
        services.trail.refused(SecurityEvent(EventName.PASSWORD_REFUSED, by, user.id))
        raise errors.WrongPassword
