"""The second factor of a login, asked for once the password was right: who does not know it learns nothing here."""

from uuid import UUID

from api.services import Services
from models import errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import mfa
from models.identity.mfa import SecondFactor
from models.identity.totp import Outcome
from models.identity.users import User
from runtime import logs

log = logs.get(__name__)

REFUSALS = (errors.MfaRequired, errors.InvalidMfaCode, errors.TooManyCodes)


async def demand(services: Services, user: User, shown: SecondFactor, by: Requester) -> None:
    """Let in who needs no second factor, or shows a right one. Whoever is refused has known the password.

    Raises:
        errors.MfaRequired, errors.InvalidMfaCode, errors.TooManyCodes
    """
    if user.mfa_since is None:
        return
    if not shown.is_shown:
        services.refusals.add(SecurityEvent(EventName.LOGIN_FAILED, by, user.id, {"because": "no_code"}))
        raise errors.MfaRequired
    outcome = await services.database.run(mfa.prove, services.settings, user.id, shown, by)
    check(services, user.id, outcome, errors.InvalidMfaCode, by)


def check(
    services: Services, user_id: UUID, outcome: Outcome, refusal: type[errors.OrderPipelineError], by: Requester
) -> None:
    """Raise what has to be said of a code, now that its count is committed.

    Raises:
        errors.TooManyCodes, or `refusal`
    """
    if outcome.is_right:
        return
    if outcome.is_unreadable:
        log.error("a TOTP secret was sealed with another SECRET_KEY", user=str(user_id))
    services.refusals.add(SecurityEvent(EventName.MFA_FAILED, by, user_id, {"because": _because(outcome)}))
    raise errors.TooManyCodes(outcome.wait_seconds) if outcome.wait_seconds else refusal


def _because(outcome: Outcome) -> str:
    if outcome.wait_seconds:
        return "too_many_codes"
    return "unreadable_secret" if outcome.is_unreadable else "wrong_code"
