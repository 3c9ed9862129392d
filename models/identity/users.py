"""Users, each in a role: people, who log in with an address and a password, and service accounts, which have neither.

A service account is called by its name, and speaks through API keys alone (`models/identity/api_keys.py`).
"""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Connection, Integer, Row, Table, Text, Uuid, select, text
from sqlalchemy.dialects.postgresql import insert

from models import errors
from models.identifiers import uuid7
from models.identity.permissions import Role
from models.metadata import Instant, created_at, enumeration, index, metadata, one_of

EMAIL_CHARACTERS_MAX = 254
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@.\x00-\x1f\x7f]+(\.[^\s@.\x00-\x1f\x7f]+)+")
# No address is a name, and no name an address: at the command line one argument is either.
SERVICE_NAME_PATTERN = "^[a-z][a-z0-9-]{1,62}$"

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, comment="normal form: NFKC, case folded; null: a service account"),
    Column("name", Text),
    enumeration("role"),
    Column("password_hash", Text, comment="argon2id, PHC string"),
    Column("token_epoch", Integer, nullable=False, server_default=text("0"), comment="tokens of older epochs are void"),
    Column("disabled_at", Instant),
    Column("mfa_since", Instant, comment="multi-factor login was confirmed then; null: the password suffices"),
    created_at(),
    one_of("role", Role),
    CheckConstraint("(email IS NULL) = (password_hash IS NULL)", name="a_login_has_both"),
    CheckConstraint(
        f"email IS NOT NULL OR (name IS NOT NULL AND name ~ '{SERVICE_NAME_PATTERN}')", name="a_service_has_a_name"
    ),
    # Otherwise the last admin could be one that cannot log in.
    CheckConstraint("email IS NOT NULL OR role <> 'admin'", name="a_service_is_no_admin"),
    index("uq_users_email", "email", unique=True, serves="login and registration: one account per address"),
    index("ix_users_role", "role", "id", serves="the list of users, filtered by role"),
    index(
        "ix_users_disabled",
        "id",
        serves="the list of users, disabled ones only",
        postgresql_where=text("disabled_at IS NOT NULL"),
    ),
    index(
        "uq_users_service_name",
        "name",
        unique=True,
        serves="the command line: one service account per name",
        postgresql_where=text("email IS NULL"),
    ),
    index(
        "ix_users_service",
        "id",
        serves="the list of users, service accounts only",
        postgresql_where=text("email IS NULL"),
    ),
)


@dataclass(frozen=True)
class User:
    id: UUID
    email: str | None
    name: str | None
    role: Role
    password_hash: str | None
    token_epoch: int
    disabled_at: datetime | None
    mfa_since: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row[tuple[object, ...]]) -> Self:
        return cls(**{**row._mapping, "role": Role(row._mapping["role"])})

    @property
    def is_service(self) -> bool:
        return self.email is None

    @property
    def label(self) -> str:
        """What people call them: the address, or the name of a service account."""
        return self.email or self.name or str(self.id)

    def is_as_known(self, known: "User") -> bool:
        """Whether what was verified of them still holds: their password, and what their tokens say."""
        return self.disabled_at is None and (self.password_hash, self.token_epoch) == (
            known.password_hash,
            known.token_epoch,
        )

    @property
    def personal_words(self) -> tuple[str, str]:
        """What a password of theirs must not be."""
        return self.email or "", self.name or ""


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


def hold(connection: Connection, *ids: UUID) -> dict[UUID, User]:
    """These users as they are, by id, locked until the commit; several in one sequence, so that nobody waits for ever.

    Not FOR UPDATE, which would hold up their orders: these have foreign keys.
    """
    held = select(users).where(users.c.id.in_(ids)).order_by(users.c.id).with_for_update(key_share=True)
    return {row.id: User.of(row) for row in connection.execute(held)}


def register_service(connection: Connection, name: str, role: Role) -> User:
    """Add a service account.

    Raises:
        errors.NameTaken, errors.NoAdmin
    """
    if role is Role.ADMIN:
        raise errors.NoAdmin
    added = insert(users).values(id=uuid7(), name=name, role=role)
    alone = added.on_conflict_do_nothing(index_elements=["name"], index_where=users.c.email.is_(None))
    row = connection.execute(alone.returning(users)).one_or_none()
    if row is None:
        raise errors.NameTaken
    return User.of(row)


def by_service_name(connection: Connection, name: str) -> User | None:
    query = select(users).where(users.c.name == name, users.c.email.is_(None))
    row = connection.execute(query).one_or_none()
    return User.of(row) if row else None


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
    service: bool | None = None


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
    if narrowed.service is not None:
        is_service = users.c.email.is_(None)
        query = query.where(is_service if narrowed.service else ~is_service)
    if narrowed.email is not None:
        query = query.where(users.c.email == normal_email(narrowed.email))
    return [User.of(row) for row in connection.execute(query)]


def by_id(connection: Connection, user_id: UUID) -> User | None:
    row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    return User.of(row) if row else None


def is_admin(user: User | None) -> bool:
    """Whether this is an admin who may do what admins do."""
    return user is not None and user.role is Role.ADMIN and user.disabled_at is None
