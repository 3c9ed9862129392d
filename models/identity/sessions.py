"""Sessions: one for each login. A session is a family of refresh tokens and the access tokens that came with them; who
ends it ends both, the former at once and the latter within seconds (`models/identity/revocations.py`).

Whoever changes a session holds its row until the commit, so that of two who want to, one comes second and sees it.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Connection, ForeignKey, Table, Text, Uuid, func, literal, select, text
from sqlalchemy import update as update_of
from sqlalchemy.dialects.postgresql import insert

from models.identifiers import uuid7
from models.identity import revocations
from models.identity.users import users
from models.metadata import Instant, created_at, index, metadata, one_of
from runtime import secret
from runtime.settings import Settings


class Reason(StrEnum):
    """Why a session was ended before its time."""

    LOGOUT = "logout"
    REUSE = "reuse"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_SET = "password_set"
    DISABLED = "disabled"
    MFA_CHANGED = "mfa_changed"


sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(users.c.id), nullable=False),
    created_at("began_at"),
    Column("ends_at", Instant, nullable=False, comment="however often it is refreshed"),
    Column("ended_at", Instant, comment="null: by nobody"),
    Column("ended_because", Text),
    CheckConstraint("(ended_at IS NULL) = (ended_because IS NULL)", name="end_has_a_reason"),
    one_of("ended_because", Reason, name="reason_known"),
    index(
        "ix_sessions_user_id", "user_id", serves="end all sessions of a user", postgresql_where=text("ended_at IS NULL")
    ),
    index("ix_sessions_ends_at", "ends_at", serves="the pruning of sessions that were over long ago"),
    comment="one login each: a family of refresh tokens, and the access tokens that were issued to it",
)


@dataclass(frozen=True)
class Rules:
    """How long a session lives, unused and in all, and the key that takes part in making successors."""

    idle: timedelta
    absolute: timedelta
    key: bytes

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.refresh_token_life, settings.session_life, secret.derive(settings, "refresh-tokens"))


def begin(connection: Connection, user_id: UUID, absolute: timedelta) -> UUID:
    """Begin a session; returns its id."""
    session_id = uuid7()
    connection.execute(insert(sessions).values(id=session_id, user_id=user_id, ends_at=func.now() + absolute))
    return session_id


# `FOR UPDATE` and nothing else in the statement: what is read beside a row that is waited for may be older than it.
_HOLD = text("SELECT user_id FROM sessions WHERE id = :id AND ended_at IS NULL AND ends_at > now() FOR UPDATE")


def hold(connection: Connection, session_id: UUID) -> UUID | None:
    """Keep others from changing a session until the commit; returns whose it is, or None if it is over."""
    user_id: UUID | None = connection.execute(_HOLD, {"id": session_id}).scalar_one_or_none()
    return user_id


def end(connection: Connection, session_id: UUID, because: Reason) -> None:
    """End one session, if it is not over yet."""
    _end(connection, sessions.c.id == session_id, because)


def end_all(connection: Connection, user_id: UUID, because: Reason, but: UUID | None = None) -> None:
    """End every session of a user, or every one `but` this."""
    _end(connection, (sessions.c.user_id == user_id) & (sessions.c.id.is_distinct_from(but)), because)


def _end(connection: Connection, which: object, because: Reason) -> None:
    ended = (
        update_of(sessions)
        .where(which, sessions.c.ended_at.is_(None))  # type: ignore[arg-type]
        .values(ended_at=func.now(), ended_because=because)
        .returning(sessions.c.id)
        .cte("ended")
    )
    revocations.revoke_all(connection, select(ended.c.id, literal(revocations.ENDED_EPOCH)))
