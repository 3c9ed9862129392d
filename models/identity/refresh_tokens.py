"""Refresh tokens: opaque, single use, in families; only their SHA-256 is stored (RFC 9700, section 4.14).

A token is exchanged once. Whoever shows it again gets the same successor again for 30 s, unless the successor was used
meanwhile: an answer that was lost costs nobody their session. Later, somebody has what they should not have, nobody can
tell who, and the session ends. So a session has one token that is good, whoever asks how often at once.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, ForeignKey, LargeBinary, Row, Table, Uuid, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from models import audit_log
from models.audit_log import EventName, Requester, SecurityEvent
from models.identity import sessions
from models.identity.sessions import Reason, Rules
from models.identity.users import User, users
from models.metadata import Instant, index, metadata

TOKEN_BYTES = 32
# How long a client that did not get the answer may ask again.
GRACE = timedelta(seconds=30)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    # No foreign key: processes of before there were sessions write rows as well while a new version is rolled out.
    Column("family", Uuid, nullable=False, comment="its session; all its successors have the same one"),
    Column("user_id", Uuid, ForeignKey(users.c.id), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant, comment="when it was exchanged"),
    Column("successor", LargeBinary, comment="the token it was exchanged for"),
    Column("salt", LargeBinary, comment="with the token itself and a key of ours, it makes the successor once more"),
    index("ix_refresh_tokens_family", "family", serves="end a session: void every token of its family"),
    index("ix_refresh_tokens_expires_at", "expires_at", serves="the pruning of tokens that expired long ago"),
)


@dataclass(frozen=True)
class Grant:
    """What keeps somebody logged in: a session of theirs, and its token. The token cannot be read back."""

    user: User
    session_id: UUID
    token: str


def begin(connection: Connection, verified: User, rules: Rules, requester: Requester) -> Grant | None:
    """Begin a session for a user whose password, and second factor where they have one, was verified.

    None if something of this was changed since `verified` was read: the password, or what raises the epoch, as
    multi-factor login that is turned on or off does. Who changes it waits for our commit, and then finds the session.
    """
    still = select(users).where(
        users.c.id == verified.id,
        users.c.password_hash == verified.password_hash,
        users.c.token_epoch == verified.token_epoch,
        users.c.disabled_at.is_(None),
    )
    row = connection.execute(still.with_for_update(read=True)).one_or_none()
    if row is None:
        return None
    grant = Grant(User.of(row), sessions.begin(connection, verified.id, rules.absolute), _new_token())
    _store(connection, grant, rules)
    audit_log.record(connection, SecurityEvent(EventName.LOGIN_SUCCEEDED, requester, verified.id))
    return grant


def exchange(connection: Connection, token: str, rules: Rules, requester: Requester) -> Grant | None:
    """Spend a token: its user and session, and the token that takes its place.

    None if it is refused: unknown, expired, of a session that is over, or of a disabled user; or spent already, and
    then its session has ended with this transaction.
    """
    family = _family(connection, token)
    owner_id = sessions.hold(connection, family) if family else None
    if family is None or owner_id is None:
        return None
    owner = select(users).where(users.c.id == owner_id, users.c.disabled_at.is_(None))
    if (row := connection.execute(owner).one_or_none()) is None:
        return None
    shown = connection.execute(_SHOWN, {"sha256": _digest(token), "grace": GRACE}).one()
    if shown.is_spent and not shown.is_graced:
        sessions.end(connection, family, Reason.REUSE)
        audit_log.record(connection, SecurityEvent(EventName.REFRESH_REUSED, requester, owner_id))
        return None
    successor = _successor(connection, shown, token, rules.key)
    if successor is None:
        return None
    grant = Grant(User.of(row), family, successor)
    _store(connection, grant, rules)
    return grant


def end_session(connection: Connection, token: str, requester: Requester) -> None:
    """End the session a token belongs to; an unknown token, or a session that is over, is no error, and no event."""
    family = _family(connection, token)
    owner_id = sessions.hold(connection, family) if family else None
    if family is None or owner_id is None:
        return
    sessions.end(connection, family, Reason.LOGOUT)
    audit_log.record(connection, SecurityEvent(EventName.LOGGED_OUT, requester, owner_id))


def _family(connection: Connection, token: str) -> UUID | None:
    query = select(refresh_tokens.c.family).where(refresh_tokens.c.sha256 == _digest(token))
    return connection.execute(query).scalar_one_or_none()


_SHOWN = text(
    """
    SELECT t.salt, t.successor, t.used_at IS NOT NULL AS is_spent, t.expires_at <= now() AS is_expired,
        t.used_at > now() - CAST(:grace AS interval) AND next.used_at IS NULL AS is_graced
    FROM refresh_tokens AS t LEFT JOIN refresh_tokens AS next ON next.sha256 = t.successor
    WHERE t.sha256 = :sha256
    """
)


def _successor(connection: Connection, shown: Row[Any], token: str, key: bytes) -> str | None:
    """What takes the token's place, for the first time or once more. The session is held: nobody else is at it."""
    if not shown.is_spent:
        return None if shown.is_expired else _spend(connection, token, key)
    successor = _made_of(token, shown.salt or b"", key)
    # Not the same where SECRET_KEY was changed in between.
    return successor if _digest(successor) == shown.successor else None


def _spend(connection: Connection, token: str, key: bytes) -> str:
    salt = secrets.token_bytes(TOKEN_BYTES)
    successor = _made_of(token, salt, key)
    spent = update(refresh_tokens).where(refresh_tokens.c.sha256 == _digest(token))
    connection.execute(spent.values(used_at=func.now(), successor=_digest(successor), salt=salt))
    return successor


def _store(connection: Connection, grant: Grant, rules: Rules) -> None:
    """Keep the token's digest; one that is given out once more is there already."""
    ends_at = select(sessions.sessions.c.ends_at).where(sessions.sessions.c.id == grant.session_id).scalar_subquery()
    row = insert(refresh_tokens).values(
        sha256=_digest(grant.token),
        family=grant.session_id,
        user_id=grant.user.id,
        issued_at=func.now(),
        expires_at=func.least(func.now() + rules.idle, ends_at),
    )
    connection.execute(row.on_conflict_do_nothing(index_elements=["sha256"]))


def _new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def _made_of(token: str, salt: bytes, key: bytes) -> str:
    """256 bits that nobody can foretell who has not all three: the client's token, the database, and our secret."""
    made = hmac.new(key, salt + token.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
