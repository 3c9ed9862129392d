"""Idempotency keys: the answer that was given to a key, kept so that every retry gets the same bytes.

The key is claimed, and its answer stored, in the transaction that makes the order: there is no moment in which one
exists without the other (draft-ietf-httpapi-idempotency-key-header-07).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Column, Connection, ForeignKey, Integer, LargeBinary, Table, Text, Uuid, bindparam, text

from models.documents import dumps
from models.metadata import Instant, index, metadata
from models.users import users

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
    # Not a foreign key: a claim that loses to a duplicate reference names, within its statement, an order never placed.
    Column("order_id", Uuid),
    Column("expires_at", Instant, nullable=False),
    index("ix_idempotency_keys_expires_at", "expires_at", serves="the pruning of expired keys"),
)


@dataclass(frozen=True)
class Stored:
    fingerprint: bytes
    status: int
    body: bytes
    order_id: UUID | None


_STORED = text(
    """
    SELECT k.user_id, k.key, k.fingerprint, k.status, k.body, k.order_id
    FROM jsonb_to_recordset(CAST(:keys AS jsonb)) AS asked(user_id uuid, key text)
    JOIN idempotency_keys AS k ON k.user_id = asked.user_id AND k.route = :route AND k.key = asked.key
    WHERE k.expires_at > now()
    """
).columns(user_id=Uuid, key=Text, fingerprint=LargeBinary, status=Integer, body=LargeBinary, order_id=Uuid)

_ANSWER = text(
    "UPDATE idempotency_keys SET status = :status, body = :body, order_id = NULL"
    " WHERE user_id = :user_id AND route = :route AND key = :key"
).bindparams(bindparam("user_id", type_=Uuid), bindparam("body", type_=LargeBinary))


def stored(connection: Connection, route: str, keys: Collection[tuple[UUID, str]]) -> Mapping[tuple[UUID, str], Stored]:
    """The answers already given to these (user, key) pairs; what has expired was never given."""
    asked = [{"user_id": user_id, "key": key} for user_id, key in keys]
    rows = connection.execute(_STORED, {"keys": dumps(asked), "route": route})
    return {(row.user_id, row.key): Stored(row.fingerprint, row.status, row.body, row.order_id) for row in rows}


def replace_answer(connection: Connection, user_id: UUID, route: str, key: str, status: int, body: bytes) -> None:
    """Store another answer for a key claimed in this very transaction."""
    connection.execute(_ANSWER, {"user_id": user_id, "route": route, "key": key, "status": status, "body": body})
