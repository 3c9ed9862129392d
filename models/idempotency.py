"""Idempotency keys: the answer that was given to a key, kept so that every retry gets the same bytes.

The key is claimed, and its answer stored, in the transaction that makes the order: there is no moment in which one
exists without the other (draft-ietf-httpapi-idempotency-key-header-07).
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, Table, Text, Uuid

from models.identity.users import users
from models.metadata import Instant, index, metadata

KEPT = timedelta(hours=72)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, ForeignKey(users.c.id), primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of the canonical request"),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the bytes that were sent"),
    # Not a foreign key: it would cost every order an index look-up to forbid what the one statement cannot do.
    Column("order_id", Uuid),
    Column("expires_at", Instant, nullable=False),
    index("ix_idempotency_keys_expires_at", "expires_at", serves="the pruning of expired keys"),
)


@dataclass(frozen=True)
class Stored:
    """The answer a key has, and the request it was given to."""

    fingerprint: bytes
    status: int
    body: bytes
    order_id: UUID | None
