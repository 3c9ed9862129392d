"""API keys: credentials of machines, each of one owner and for some of what its owner's role permits.

Of the secret only the prefix and the SHA-256 are stored. What ends a key brings `expires_at` forward, and moves
`epoch`: what a process remembers of an older epoch is void (`models/identity/revocations.py`).
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    Uuid,
    bindparam,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models import documents, errors
from models.identity.api_key_secrets import Secret
from models.identity.permissions import FOR_KEYS, Permission, Role
from models.identity.users import users
from models.metadata import Instant, created_at, index, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(users.c.id), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, comment="how the secret begins: what lists and logs may show"),
    Column("sha256", LargeBinary, nullable=False, comment="of the whole secret, which is not stored"),
    Column("permissions", ARRAY(Text), nullable=False, comment="good as far as the role of the owner has them too"),
    Column(
        "epoch",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="one more with each change; what was remembered of older ones is void",
    ),
    created_at(),
    Column("expires_at", Instant, nullable=False, comment="rotation and revocation bring it forward"),
    Column("revoked_at", Instant),
    # No foreign key: a successor may be forgotten before its predecessor.
    Column("rotated_to", Uuid, comment="the key that took its place; until expires_at both are good"),
    Column("last_used_at", Instant, comment="written once a minute at most; null: never"),
    CheckConstraint("cardinality(permissions) > 0", name="permits_something"),
    CheckConstraint("revoked_at IS NULL OR expires_at <= revoked_at", name="a_revoked_one_has_ended"),
    index("uq_api_keys_prefix", "prefix", unique=True, serves="every process: the key that a request shows"),
    index("ix_api_keys_user_id_id", "user_id", "id", serves="the keys of one owner: listed, counted, revoked"),
    index("ix_api_keys_expires_at", "expires_at", serves="the pruning of keys that ended long ago"),
    comment="credentials of machines",
)


@dataclass(frozen=True)
class ApiKey:
    """A key as its owner sees it; the secret cannot be read back."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    permissions: frozenset[Permission]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    rotated_to: UUID | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        shown = {name: getattr(row, name) for name in cls.__dataclass_fields__}
        return cls(**{**shown, "permissions": _known(row.permissions)})


@dataclass(frozen=True)
class Bearer:
    """For whom a key speaks at present, and as what."""

    key_id: UUID
    prefix: str
    key_epoch: int
    expires_at: datetime
    user_id: UUID
    role: Role
    user_epoch: int
    is_service: bool
    has_second_factor: bool
    permissions: frozenset[Permission]


SHOWN = tuple(api_keys.c[name] for name in ApiKey.__dataclass_fields__)


def _known(names: Sequence[str]) -> frozenset[Permission]:
    """Those a key may hold. Others are of another version, which is being rolled out or back: they permit nothing."""
    return frozenset(permission for permission in FOR_KEYS if permission in names)


# Leans on uq_api_keys_prefix.
_BEARER = text(
    """
    SELECT k.id AS key_id, k.prefix, k.sha256, k.epoch AS key_epoch, k.expires_at, k.permissions, k.user_id, u.role,
        u.token_epoch AS user_epoch, u.email IS NULL AS is_service, u.mfa_since IS NOT NULL AS has_second_factor
    FROM api_keys AS k JOIN users AS u ON u.id = k.user_id
    WHERE k.prefix = :prefix AND k.expires_at > now() AND u.disabled_at IS NULL
    """
)


def bearer(connection: Connection, secret: Secret) -> Bearer | None:
    """Who shows this secret; None if it is of no key, or of one that has ended, or its owner is disabled."""
    row = connection.execute(_BEARER, {"prefix": secret.prefix}).one_or_none()
    if row is None or not hmac.compare_digest(row.sha256, secret.sha256):
        return None
    found = {name: getattr(row, name) for name in Bearer.__dataclass_fields__}
    return Bearer(**{**found, "role": Role(row.role), "permissions": _known(row.permissions)})


@dataclass(frozen=True)
class Filter:
    """Whose keys can be seen (None: everybody's), and what the list is narrowed to."""

    owner: UUID | None
    user_id: UUID | None = None


def page(connection: Connection, narrowed: Filter, before: UUID | None, limit: int) -> list[ApiKey]:
    """Up to `limit` keys, the newest first, the first one older than `before`; ids are in the order of time.

    Leans on ix_api_keys_user_id_id; on the primary key, where it is everybody's.
    """
    query = select(*SHOWN).order_by(api_keys.c.id.desc()).limit(limit)
    for user_id in (narrowed.owner, narrowed.user_id):
        if user_id is not None:
            query = query.where(api_keys.c.user_id == user_id)
    if before is not None:
        query = query.where(api_keys.c.id < before)
    return [ApiKey.of(row) for row in connection.execute(query)]


def get(connection: Connection, key_id: UUID, owner: UUID | None) -> ApiKey:
    """A key of this owner; None is everybody.

    Raises:
        errors.NotFound
    """
    query = select(*SHOWN).where(api_keys.c.id == key_id)
    if owner is not None:
        query = query.where(api_keys.c.user_id == owner)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise errors.NotFound
    return ApiKey.of(row)


def by_prefix(connection: Connection, prefix: str) -> ApiKey | None:
    """The key whose secret begins like this, ended or not."""
    row = connection.execute(select(*SHOWN).where(api_keys.c.prefix == prefix)).one_or_none()
    return ApiKey.of(row) if row else None


# Leans on uq_api_keys_prefix. Rows that somebody else is writing are passed over: another process has seen the key used
# as well, or it has ended. So nobody waits, and processes that write the same keys cannot deadlock.
_USED = text(
    """
    WITH used AS (SELECT prefix, at FROM jsonb_to_recordset(CAST(:used AS jsonb)) AS u(prefix text, at timestamptz)),
        held AS (SELECT k.id, used.at FROM api_keys AS k JOIN used USING (prefix) FOR NO KEY UPDATE OF k SKIP LOCKED)
    UPDATE api_keys AS k SET last_used_at = held.at FROM held
    WHERE k.id = held.id AND (k.last_used_at IS NULL OR k.last_used_at < held.at)
    """
).bindparams(bindparam("used", type_=Text))


def note_use(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Write down when keys, by their prefixes, were used last, unless they were used again since."""
    rows = [{"prefix": prefix, "at": at} for prefix, at in used.items()]
    connection.execute(_USED, {"used": documents.dumps(rows)})
