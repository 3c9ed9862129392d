"""Asking a known caller for the password once more, before a change that a stolen token must not suffice for."""

from uuid import UUID

from api.identity.access import Caller
from api.services import Services
from models import errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import passwords, users
from models.identity.users import User


async def demand(services: Services, caller: Caller, password: str, by: Requester) -> User:
    """The caller, whose password this is. Tries are throttled like logins, and wrong ones are audited.

    What is done then has to look once more, under the user's lock, whether it still holds (`User.is_as_known`).

    Raises:
        errors.InvalidToken: the token is of before a change of role or factors that this process has yet to hear of.
        errors.WrongPassword, errors.RateLimited, errors.Unavailable
    """
    user = await account(services, caller.id)
    if (user.id, user.token_epoch) not in caller.epochs:
        raise errors.InvalidToken
    await by_password(services, user, password, by)
    return user


async def by_password(services: Services, user: User, password: str, by: Requester) -> None:
    """Return if this is the user's password.

    Raises:
        errors.WrongPassword, errors.RateLimited, errors.Unavailable
    """
    await services.throttle.password_change(user.id)
    try:
        is_right = await services.hashing.run(
            lambda: passwords.matches(services.settings, user.password_hash, password)
        )
    except errors.Unavailable:
        await services.throttle.password_not_verified(user.id)
        raise
    if not is_right:
        services.refusals.add(SecurityEvent(EventName.PASSWORD_REFUSED, by, user.id))
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
