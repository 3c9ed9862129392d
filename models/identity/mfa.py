"""Multi-factor login: a password, and a code of an authenticator app or a recovery code.

`users.mfa_since` says who has it. Every change of it ends all sessions of the user, so that every session of a user
who has it began with both factors. Changes of one user happen one after the other, under the lock of the user's row,
and are in the audit log.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyotp
from sqlalchemy import Connection, func, select, update

from models import audit_log, errors
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import recovery_codes, revocations, sessions, totp, users
from models.identity.sessions import Reason
from models.identity.totp import Outcome
from models.identity.users import User
from runtime.settings import Settings

ENROLMENT_SECONDS = 600

_users = users.users


@dataclass(frozen=True)
class SecondFactor:
    """What a user shows beside the password: one of the two."""

    totp_code: str | None = None
    recovery_code: str | None = None

    @property
    def is_shown(self) -> bool:
        return self.totp_code is not None or self.recovery_code is not None


@dataclass(frozen=True)
class Status:
    enabled_at: datetime | None
    recovery_codes_left: int


@dataclass(frozen=True)
class Change:
    """What became of a change that a code had to confirm, and the new recovery codes, if it made any."""

    outcome: Outcome
    recovery_codes: tuple[str, ...] = ()


def status(connection: Connection, user_id: UUID) -> Status:
    """Raises errors.InvalidToken where the user is gone."""
    return Status(_found(users.by_id(connection, user_id)).mfa_since, recovery_codes.left(connection, user_id))


def begin(connection: Connection, settings: Settings, known: User) -> pyotp.TOTP:
    """A new secret, good for logins once a code of it was confirmed within ten minutes. `known`: as was verified.

    Raises:
        errors.MfaAlreadyEnabled
        errors.Forbidden: somebody has changed their password or role, or disabled them, since.
    """
    user = _held(connection, known.id)
    if user.mfa_since is not None:
        raise errors.MfaAlreadyEnabled
    if not user.is_as_known(known):
        raise errors.Forbidden
    return totp.begin(connection, settings, user)


def confirm(connection: Connection, settings: Settings, user_id: UUID, code: str, requester: Requester) -> Change:
    """Turn multi-factor login on, if this is a code of the pending secret.

    Raises:
        errors.NoPendingEnrolment
    """
    user = _held(connection, user_id)
    pending = select(totp.totp.c.user_id).where(
        totp.totp.c.user_id == user_id,
        totp.totp.c.began_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, ENROLMENT_SECONDS),
    )
    if user.mfa_since is not None or connection.execute(pending).one_or_none() is None:
        raise errors.NoPendingEnrolment
    outcome = totp.spend(connection, settings, user_id, code)
    if not outcome.is_right:
        return Change(outcome)
    _switch(connection, user_id, requester, is_on=True)
    return Change(outcome, tuple(recovery_codes.replace(connection, user_id)))


def prove(
    connection: Connection, settings: Settings, user_id: UUID, shown: SecondFactor, requester: Requester
) -> Outcome:
    """Spend what the user shows. To be committed whatever the outcome is.

    A recovery code is looked at however many wrong codes came before: it cannot be guessed, and whoever keeps guessing
    must not keep the owner out.
    """
    _held(connection, user_id)
    if shown.recovery_code is None:
        return totp.spend(connection, settings, user_id, shown.totp_code or "")
    is_right = recovery_codes.spend(connection, user_id, shown.recovery_code)
    if is_right:
        totp.forgive(connection, user_id)
        audit_log.record(connection, SecurityEvent(EventName.RECOVERY_CODE_USED, requester, user_id))
    return Outcome(is_right)


def renew_recovery_codes(
    connection: Connection, settings: Settings, user_id: UUID, shown: SecondFactor, requester: Requester
) -> Change:
    """New recovery codes in place of the former ones, for who shows a second factor.

    Raises:
        errors.MfaNotEnabled
    """
    outcome = _prove_to_change(connection, settings, user_id, shown, requester)
    if not outcome.is_right:
        return Change(outcome)
    audit_log.record(connection, SecurityEvent(EventName.RECOVERY_CODES_RENEWED, requester, user_id))
    return Change(outcome, tuple(recovery_codes.replace(connection, user_id)))


def disable(
    connection: Connection, settings: Settings, user_id: UUID, shown: SecondFactor, requester: Requester
) -> Outcome:
    """Turn it off, for who shows a second factor.

    Raises:
        errors.MfaNotEnabled
    """
    outcome = _prove_to_change(connection, settings, user_id, shown, requester)
    if outcome.is_right:
        reset(connection, user_id, requester)
    return outcome


def reset(connection: Connection, user_id: UUID, requester: Requester) -> bool:
    """Turn it off without proof: for who has lost phone and codes, and whom somebody knows. Whether it was on."""
    was_on = _held(connection, user_id).mfa_since is not None
    totp.delete(connection, user_id)
    recovery_codes.clear(connection, user_id)
    if was_on:
        _switch(connection, user_id, requester, is_on=False)
    return was_on


def _prove_to_change(
    connection: Connection, settings: Settings, user_id: UUID, shown: SecondFactor, requester: Requester
) -> Outcome:
    if _held(connection, user_id).mfa_since is None:
        raise errors.MfaNotEnabled
    return prove(connection, settings, user_id, shown, requester)


def _held(connection: Connection, user_id: UUID) -> User:
    """Raises errors.InvalidToken where the user is gone."""
    return _found(users.hold(connection, user_id).get(user_id))


def _found(user: User | None) -> User:
    if user is None:
        raise errors.InvalidToken
    return user


def _switch(connection: Connection, user_id: UUID, requester: Requester, *, is_on: bool) -> None:
    """With the new epoch, a login that has not begun its session yet begins none (`refresh_tokens.begin`)."""
    changed = {"mfa_since": func.now() if is_on else None, "token_epoch": _users.c.token_epoch + 1}
    raised = update(_users).where(_users.c.id == user_id).values(changed).returning(_users.c.token_epoch)
    revocations.revoke(connection, user_id, connection.execute(raised).scalar_one())
    sessions.end_all(connection, user_id, Reason.MFA_CHANGED)
    name = EventName.MFA_ENROLLED if is_on else EventName.MFA_REMOVED
    audit_log.record(connection, SecurityEvent(name, requester, user_id))
