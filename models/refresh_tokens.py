"""Refresh tokens: opaque, single use, in families; only their SHA-256 is stored (RFC 9700, section 4.14)."""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    bindparam,
    func,
    select,
    text,
    update,
)
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
    Column(
        "epoch", Integer, nullable=False, server_default=text("0"), comment="the user's token_epoch when they logged in"
    ),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("used_at", Instant, comment="exchanged or revoked"),
    Column("successor", LargeBinary, comment="the token it was exchanged for"),
    index("ix_refresh_tokens_family", "family", serves="end a session: void every token of its family"),
    index("ix_refresh_tokens_expires_at", "expires_at", serves="the pruning of tokens that expired long ago"),
)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def issue(connection: Connection, user: User, life: timedelta, family: UUID | None = None) -> str:
    """Store a new token of `family` (a new one if none) and return it; it cannot be read back.

    It belongs to the user as they are known here. Where their sessions have been ended since, it is void from the
    beginning: no login that was on its way when that happened gets past it.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(
        insert(refresh_tokens).values(
            sha256=_digest(token),
            family=family or uuid7(),
            user_id=user.id,
            epoch=user.token_epoch,
            issued_at=func.now(),
            expires_at=func.now() + life,
        )
    )
    return token


def exchange(connection: Connection, token: str, life: timedelta) -> tuple[User, str]:
    """Spend a token: its user and the token that takes its place.

    Raises:
        errors.InvalidRefreshToken: unknown, expired, already used, of a disabled user, or of a session that was ended.
    """
    spent = (
        update(refresh_tokens)
        .where(
            refresh_tokens.c.sha256 == _digest(token),
            refresh_tokens.c.used_at.is_(None),
            refresh_tokens.c.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(refresh_tokens.c.family, refresh_tokens.c.user_id, refresh_tokens.c.epoch)
    )
    row = connection.execute(spent).one_or_none()
    if row is None:
        raise errors.InvalidRefreshToken
    owner = select(users).where(
        users.c.id == row.user_id, users.c.disabled_at.is_(None), users.c.token_epoch == row.epoch
    )
    found = connection.execute(owner).one_or_none()
    if found is None:
        raise errors.InvalidRefreshToken
    user = User.of(found)
    successor = issue(connection, user, life, row.family)
    connection.execute(
        update(refresh_tokens).where(refresh_tokens.c.sha256 == bindparam("spent")).values(successor=bindparam("next")),
        {"spent": _digest(token), "next": _digest(successor)},
    )
    return user, successor


def revoke(connection: Connection, token: str) -> None:
    """End the session a token belongs to; an unknown token is not an error."""
    family = select(refresh_tokens.c.family).where(refresh_tokens.c.sha256 == _digest(token)).scalar_subquery()
    connection.execute(
        update(refresh_tokens)
        .where(refresh_tokens.c.family == family, refresh_tokens.c.used_at.is_(None))
        .values(used_at=func.now())
    )
