"""Codes of an authenticator app (TOTP, RFC 6238: SHA-1, six digits, thirty seconds). Each is good once.

Six digits can be guessed: with the step before and the step after, three codes in a million are right. So every code is
counted before it is looked at, and wrong ones are made to wait for, in the database, where no restart forgets them.
"""

from dataclasses import dataclass
from uuid import UUID

import pyotp
from sqlalchemy import BigInteger, Column, Connection, ForeignKey, Integer, LargeBinary, Table, Uuid, func, select, text
from sqlalchemy import delete as deletion
from sqlalchemy.dialects.postgresql import insert

from models.identity.users import User, users
from models.metadata import Instant, created_at, metadata
from runtime import secret
from runtime.settings import Settings

ISSUER = "Order Pipeline"
PURPOSE = "totp-secrets"
# Clocks of phones are a little off, and people take a moment to type (RFC 6238, section 5.2).
STEPS_AROUND = 1
WRONG_CODES_FREE = 5
SHORTEST_WAIT_SECONDS = 30
LONGEST_WAIT_SECONDS = 6 * 3600

totp = Table(
    "totp",
    metadata,
    Column("user_id", Uuid, ForeignKey(users.c.id), primary_key=True),
    Column("sealed_secret", LargeBinary, nullable=False, comment="AES-256-GCM: nonce, then ciphertext"),
    Column(
        "last_step",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="codes of this step (Unix time / 30 s) and of earlier ones are spent",
    ),
    Column("wrong_codes", Integer, nullable=False, server_default=text("0"), comment="since the last right one"),
    Column("not_before", Instant, comment="until then no code is looked at"),
    created_at("began_at"),
)

# Counted before it is looked at, and under the row's lock: of a thousand guesses at once, five are looked at.
ATTEMPT = text(
    """
    UPDATE totp SET
        wrong_codes = wrong_codes + 1,
        not_before = CASE WHEN wrong_codes + 1 >= :free THEN clock_timestamp() + make_interval(
            secs => LEAST(:longest, :shortest * power(2, LEAST(wrong_codes + 1 - :free, 30)))) END
    WHERE user_id = :user_id AND (not_before IS NULL OR not_before <= clock_timestamp())
    RETURNING sealed_secret, CAST(extract(epoch FROM clock_timestamp()) AS float8) AS at
    """
)
# Of all who show a code of this step, one gets a row. Whoever shows an older one is too late.
SPEND = text(
    """
    UPDATE totp SET last_step = :step, wrong_codes = 0, not_before = NULL
    WHERE user_id = :user_id AND last_step < :step
    """
)
WAIT = text(
    """
    SELECT CAST(ceil(extract(epoch FROM not_before - clock_timestamp())) AS integer) FROM totp
    WHERE user_id = :user_id AND not_before > clock_timestamp()
    """
)


@dataclass(frozen=True)
class Outcome:
    """What became of a code. Where too many wrong ones came before it, it was not looked at."""

    is_right: bool = False
    wait_seconds: int = 0
    is_unreadable: bool = False


def begin(connection: Connection, settings: Settings, user: User) -> pyotp.TOTP:
    """Give the user a new secret, in place of any other; its text and its otpauth URI are told this once."""
    made = pyotp.TOTP(pyotp.random_base32(), name=user.email, issuer=ISSUER)
    sealed = secret.seal(settings, PURPOSE, made.secret.encode(), user.id.bytes)
    added = insert(totp).values(user_id=user.id, sealed_secret=sealed)
    anew = {"last_step": 0, "wrong_codes": 0, "not_before": None, "began_at": func.now()}
    connection.execute(added.on_conflict_do_update(index_elements=["user_id"], set_={"sealed_secret": sealed, **anew}))
    return made


def spend(connection: Connection, settings: Settings, user_id: UUID, code: str) -> Outcome:
    """Take the code, if it is one of the steps around now and its step was not used before.

    The caller has to commit whatever the outcome is: a wrong code counts.
    """
    limits = {"free": WRONG_CODES_FREE, "shortest": SHORTEST_WAIT_SECONDS, "longest": LONGEST_WAIT_SECONDS}
    row = connection.execute(ATTEMPT, {"user_id": user_id, **limits}).one_or_none()
    if row is None:
        return Outcome(wait_seconds=connection.execute(WAIT, {"user_id": user_id}).scalar() or 0)
    try:
        known = pyotp.TOTP(secret.unseal(settings, PURPOSE, row.sealed_secret, user_id.bytes).decode())
        step = known.verify_and_get_timecode(code, for_time=row.at, valid_window=STEPS_AROUND)
    except secret.SealBroken:
        return Outcome(is_unreadable=True)
    except pyotp.OTPVerificationError:
        return Outcome()
    return Outcome(is_right=connection.execute(SPEND, {"user_id": user_id, "step": step}).rowcount == 1)


def forgive(connection: Connection, user_id: UUID) -> None:
    """Forget wrong codes, because the owner has proved by other means to be there."""
    connection.execute(
        text("UPDATE totp SET wrong_codes = 0, not_before = NULL WHERE user_id = :user_id"), {"user_id": user_id}
    )


def forget_pending(connection: Connection, user_id: UUID) -> None:
    """Delete a secret that was not confirmed: who has it may not be the owner."""
    is_pending = select(users.c.id).where(users.c.id == user_id, users.c.mfa_since.is_(None)).exists()
    connection.execute(deletion(totp).where(totp.c.user_id == user_id, is_pending))


def delete(connection: Connection, user_id: UUID) -> None:
    connection.execute(deletion(totp).where(totp.c.user_id == user_id))
