"""The caller's own second factor: setting it up, replacing its recovery codes, turning it off.

What turns it on or off asks for the password once more, so that a stolen access token does not suffice.
"""

from fastapi import APIRouter, Response

from api import reauthentication, second_factor
from api.dependencies import By, OurServices
from api.description.openapi import may_refuse
from api.edge.json_bodies import JsonRoute
from api.forms import MfaReauthentication, Reauthentication, TotpConfirmation
from api.identity.access import ManagesMfa
from api.views.accounts import MfaView, RecoveryCodesView, TotpView
from models import errors
from models.identity import mfa

router = APIRouter(prefix="/v1/users/me/mfa", tags=["mfa"], route_class=JsonRoute)

# Too many tries of the password, or of codes, are both 429.
MAY_REFUSE = (errors.WrongPassword, errors.WrongCode, errors.TooManyCodes)


@router.get("")
async def get_mfa(caller: ManagesMfa, services: OurServices) -> MfaView:
    """Whether my login asks for a second factor, and how many recovery codes are left."""
    status = await services.database.run(mfa.status, caller.id)
    required = caller.role in services.settings.roles_that_need_mfa
    return MfaView(enabled_at=status.enabled_at, required=required, recovery_codes_left=status.recovery_codes_left)


@router.post("/totp", status_code=201, responses=may_refuse(errors.WrongPassword, errors.MfaAlreadyEnabled))
async def begin_totp(form: Reauthentication, caller: ManagesMfa, services: OurServices, by: By) -> TotpView:
    """Get a secret for an authenticator app. It counts once a code of it was confirmed, within ten minutes."""
    user = await reauthentication.demand(services, caller, form.password, by)
    made = await services.database.run(mfa.begin, services.settings, user)
    return TotpView(secret=made.secret, otpauth_uri=made.provisioning_uri())


@router.post("/totp/confirm", responses=may_refuse(errors.WrongCode, errors.TooManyCodes, errors.NoPendingEnrolment))
async def confirm_totp(form: TotpConfirmation, caller: ManagesMfa, services: OurServices, by: By) -> RecoveryCodesView:
    """Turn multi-factor login on with a code of the app. All my sessions end; log in again, with the next code."""
    change = await services.database.run(mfa.confirm, services.settings, caller.id, form.code, by)
    second_factor.check(services, caller.id, change.outcome, errors.WrongCode, by)
    return RecoveryCodesView(recovery_codes=change.recovery_codes)


@router.post("/recovery-codes", responses=may_refuse(*MAY_REFUSE, errors.MfaNotEnabled))
async def renew_recovery_codes(
    form: MfaReauthentication, caller: ManagesMfa, services: OurServices, by: By
) -> RecoveryCodesView:
    """Get new recovery codes; the former ones are void."""
    await reauthentication.demand(services, caller, form.password, by)
    shown = form.second_factor
    change = await services.database.run(mfa.renew_recovery_codes, services.settings, caller.id, shown, by)
    second_factor.check(services, caller.id, change.outcome, errors.WrongCode, by)
    return RecoveryCodesView(recovery_codes=change.recovery_codes)


@router.delete("/totp", status_code=204, responses=may_refuse(*MAY_REFUSE, errors.MfaNotEnabled))
async def disable_totp(form: MfaReauthentication, caller: ManagesMfa, services: OurServices, by: By) -> Response:
    """Turn multi-factor login off, for example to move to another phone. All my sessions end."""
    await reauthentication.demand(services, caller, form.password, by)
    outcome = await services.database.run(mfa.disable, services.settings, caller.id, form.second_factor, by)
    second_factor.check(services, caller.id, outcome, errors.WrongCode, by)
    return Response(status_code=204)
