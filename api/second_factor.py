"""The second factor of a login, asked for once the password was right: who does not know it learns nothing here."""

from uuid import UUID

from api.services import Services
from models import errors, mfa
from models.mfa import SecondFactor
from models.totp import Outcome
from models.users import User
from runtime import logs

log = logs.get(__name__)

REFUSALS = (errors.MfaRequired, errors.InvalidMfaCode, errors.TooManyCodes)


async def demand(services: Services, user: User, shown: SecondFactor) -> None:
    """Let in who needs no second factor, or shows a right one.

    Raises:
        errors.MfaRequired, errors.InvalidMfaCode, errors.TooManyCodes
    """
    if user.mfa_since is None:
        return
    if not shown.is_shown:
        raise errors.MfaRequired
    check(user.id, await services.database.run(mfa.prove, services.settings, user.id, shown), errors.InvalidMfaCode)


def check(user_id: UUID, outcome: Outcome, refusal: type[errors.OrderPipelineError]) -> None:
    """Raise what has to be said of a code, now that its count is committed."""
    if outcome.is_unreadable:
        log.error("a TOTP secret was sealed with another SECRET_KEY", user=str(user_id))
    if outcome.wait_seconds:
        raise errors.TooManyCodes(outcome.wait_seconds)
    if not outcome.is_right:
        raise refusal
