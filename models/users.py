"""Users: who may log in, and in which role."""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from sqlalchemy import Column, Connection, Integer, Row, Table, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import insert

from models import errors
from models.identifiers import uuid7
from models.metadata import Instant, created_at, enumeration, index, metadata, one_of
from models.permissions import Role

EMAIL_CHARACTERS_MAX = 254
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@.\x00-\x1f\x7f]+(\.[^\s@.\x00-\x1f\x7f]+)+")

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, comment="normal form: NFKC, case folded"),
    Column("name", Text),
    enumeration("role"),
    Column("password_hash", Text, nullable=False, comment="argon2id, PHC string"),
    Column("token_epoch", Integer, nullable=False, server_default=text("0"), comment="tokens of older epochs are void"),
    Column("disabled_at", Instant),
    created_at(),
    one_of("role", Role),
    index("uq_users_email", "email", unique=True, serves="login and registration: one account per address"),
    index("ix_users_role", "role", "id", serves="the list of users, filtered by role"),
    index(
        "ix_users_disabled",
        "id",
        serves="the list of users, disabled ones only",
        postgresql_where=text("disabled_at IS NOT NULL"),
    ),
)


@dataclass(frozen=True)
class User:
    id: UUID
    email: str
    name: str | None
    role: Role
    password_hash: str
    token_epoch: int
    disabled_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row[tuple[object, ...]]) -> Self:
        return cls(**{**row._mapping, "role": Role(row._mapping["role"])})


def normal_email(email: str) -> str:
    """The one form in which an address is stored and compared.

    Raises:
        errors.InvalidRequest: it cannot be an e-mail address.
    """
    normal = unicodedata.normalize("NFKC", email).strip().casefold()
    if len(normal) > EMAIL_CHARACTERS_MAX or not EMAIL.fullmatch(normal):
        raise errors.InvalidRequest(flaws=[errors.Flaw("/email", "invalid_email", "This is not an e-mail address.")])
    return normal


def register(connection: Connection, email: str, password_hash: str, role: Role, name: str | None) -> User:
    """Add a user.

    Raises:
        errors.EmailTaken: the address (in normal form) is registered already.
    """
    added = insert(users).values(
        id=uuid7(), email=normal_email(email), name=name, role=role, password_hash=password_hash
    )
    row = connection.execute(added.on_conflict_do_nothing(index_elements=["email"]).returning(users)).one_or_none()
    if row is None:
        raise errors.EmailTaken
    return User.of(row)


def by_email(connection: Connection, email: str) -> User | None:
    """The user with this address, however it is spelled; what is no address belongs to nobody."""
    with suppress(errors.InvalidRequest):
        row = connection.execute(select(users).where(users.c.email == normal_email(email))).one_or_none()
        return User.of(row) if row else None
    return None


@dataclass(frozen=True)
class Filter:
    """What the list of users is narrowed to; None is no limit."""

    role: Role | None = None
    disabled: bool | None = None
    email: str | None = None


def page(connection: Connection, narrowed: Filter, before: UUID | None, limit: int) -> Sequence[User]:
    """Up to `limit` users, the newest first, the first one older than `before`; ids are in the order of time."""
    query = select(users).order_by(users.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(users.c.id < before)
    if narrowed.role is not None:
        query = query.where(users.c.role == narrowed.role)
    if narrowed.disabled is not None:
        is_disabled = users.c.disabled_at.is_not(None)
        query = query.where(is_disabled if narrowed.disabled else ~is_disabled)
    if narrowed.email is not None:
        query = query.where(users.c.email == normal_email(narrowed.email))
    return [User.of(row) for row in connection.execute(query)]


def by_id(connection: Connection, user_id: UUID) -> User | None:
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    return User.of(row) if row else None
