"""Refresh tokens: opaque, single use, in families; only their SHA-256 is stored (RFC 9700, section 4.14)."""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, Connection, ForeignKey, LargeBinary, Table, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from models import errors
from models.identifiers import uuid7
from models.metadata import Instant, index, metadata
from models.users import User, users

TOKEN_BYTES = 32

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("sha256", LargeBinary, primary_key=True),
    Column("family", Uuid, nullable=False, comment="one login; all its successors carry the same family"),
    Column("user_id", Uuid, ForeignKey(users.c.id), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant, comment="exchanged or revoked"),
    Column("successor", LargeBinary, comment="the token it was exchanged for"),
    index("ix_refresh_tokens_family", "family", serves="end a session: void every token of its family"),
    index("ix_refresh_tokens_expires_at", "expires_at", serves="the pruning of tokens that expired long ago"),
)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def issue(connection: Connection, user_id: UUID, life: timedelta, family: UUID | None = None) -> str:
    """Store a new token of `family` (a new one if none) and return it; it cannot be read back."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(
        insert(refresh_tokens).values(
            sha256=_digest(token),
            family=family or uuid7(),
            user_id=user_id,
            issued_at=func.now(),
            expires_at=func.now() + life,
        )
    )
    return token


def exchange(connection: Connection, token: str, life: timedelta) -> tuple[User, str]:
    """Spend a token: its user and the token that takes its place.

    Raises:
        errors.InvalidRefreshToken: unknown, expired, already used, or of a disabled user.
    """
    spent = (
        update(refresh_tokens)
        .where(
            refresh_tokens.c.sha256 == _digest(token),
            refresh_tokens.c.used_at.is_(None),
            refresh_tokens.c.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(refresh_tokens.c.family, refresh_tokens.c.user_id)
    )
    row = connection.execute(spent).one_or_none()
    if row is None:
        raise errors.InvalidRefreshToken
    owner = select(users).where(users.c.id == row.user_id, users.c.disabled_at.is_(None))
    user = connection.execute(owner).one_or_none()
    if user is None:
        raise errors.InvalidRefreshToken
    successor = issue(connection, row.user_id, life, row.family)
    connection.execute(
        update(refresh_tokens).where(refresh_tokens.c.sha256 == bindparam("spent")).values(successor=bindparam("next")),
        {"spent": _digest(token), "next": _digest(successor)},
    )
    return User.of(user), successor


def revoke_all(connection: Connection, user_id: UUID) -> None:
    """End every session of a user."""
    mine = (refresh_tokens.c.user_id == user_id, refresh_tokens.c.used_at.is_(None))
    connection.execute(update(refresh_tokens).where(*mine).values(used_at=func.now()))


def revoke(connection: Connection, token: str) -> None:
    """End the session a token belongs to; an unknown token is not an error."""
    family = select(refresh_tokens.c.family).where(refresh_tokens.c.sha256 == _digest(token)).scalar_subquery()
    connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.family == family, refresh_tokens.c.used_at.is_(None))
        .values(used_at=func.now())
    )
