"""The audit log: security events, each written in the transaction that made it true (S25).

A row is added and never changed: no role of the system may, and a trigger refuses even the owner. What shows whether
somebody did all the same is `models/audit_chain.py`. An event names accounts, client addresses and requests; never a
password, a token or an e-mail address (S39).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Connection, Row, Table, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB

from models.identifiers import uuid7
from models.metadata import created_at, index, metadata


class EventName(StrEnum):
    """What happened; the outcome is part of the name."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGIN_THROTTLED = "login.throttled"
    LOGGED_OUT = "logout"
    REFRESH_REUSED = "refresh.reused"
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_REFUSED = "password.refused"
    USER_CREATED = "user.created"
    USER_DISABLED = "user.disabled"
    USER_ENABLED = "user.enabled"
    ROLE_CHANGED = "role.changed"
    KEY_ROTATED = "key.rotated"
    KEY_RETIRED = "key.retired"
    TRANSITION_ASKED = "transition.asked"
    LETTER_REPLAYED = "dead-letter.replayed"
    LETTER_DISCARDED = "dead-letter.discarded"
    API_KEY_MADE = "api-key.made"
    API_KEY_ROTATED = "api-key.rotated"
    API_KEY_REVOKED = "api-key.revoked"
    MFA_ENROLLED = "mfa.enrolled"
    MFA_REMOVED = "mfa.removed"
    MFA_FAILED = "mfa.failed"
    RECOVERY_CODE_USED = "mfa.recovery-code-used"


# No list of names in a CHECK: while a release goes out, a log that does not know a name yet would refuse the event, and
# with it the login.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Uuid, primary_key=True),
    created_at("at"),
    Column("event", Text, nullable=False),
    Column("user_id", Uuid, comment="whose account it is about; no foreign key: the log outlives what it speaks of"),
    Column("actor", Text, comment="who did it: the id of a user, or cli:NAME; null: nobody who was known yet"),
    Column("client_address", Text),
    Column("request_id", Text),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'")),
    CheckConstraint(r"event ~ '^[a-z-]+(\.[a-z-]+)*$'", name="event_named"),
    index("ix_audit_log_user_id_id", "user_id", "id", serves="orders audit ls --user: the events of one account"),
    comment="security events; insert only",
)

audit_unsealed = Table(
    "audit_unsealed",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    comment="security events that are not in the chain yet",
)


@dataclass(frozen=True)
class Requester:
    """Who acts, from where and by which request, as far as that is known."""

    actor: str | None = None
    client_address: str | None = None
    request_id: str | None = None


NOBODY = Requester()


@dataclass(frozen=True)
class SecurityEvent:
    """Something to be recorded. `facts` are ids, codes and numbers; words that a client chose have no place there."""

    name: EventName
    by: Requester
    user_id: UUID | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A security event as it was recorded."""

    id: UUID
    at: datetime
    event: str
    user_id: UUID | None
    actor: str | None
    client_address: str | None
    request_id: str | None
    facts: Mapping[str, str | int]

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        return cls(**row._mapping)


@dataclass(frozen=True)
class Filter:
    """What a list is narrowed to; empty is everything."""

    events: Collection[str] = ()
    user_id: UUID | None = None
    actor: str | None = None
    client_address: str | None = None
    request_id: str | None = None
    since: datetime | None = None


_RECORD = text(
    """
    WITH recorded AS (
        INSERT INTO audit_log (id, event, user_id, actor, client_address, request_id, facts)
        VALUES (:id, :event, :user_id, :actor, :client_address, :request_id, :facts)
    )
    INSERT INTO audit_unsealed (event_id) VALUES (:id)
    """
).bindparams(bindparam("id", type_=Uuid), bindparam("user_id", type_=Uuid), bindparam("facts", type_=JSONB))


def record(connection: Connection, event: SecurityEvent) -> None:
    """Add an event. It takes no lock that another event waits for."""
    values = {
        "id": uuid7(),
        "event": event.name,
        "user_id": event.user_id,
        "actor": event.by.actor,
        "client_address": event.by.client_address,
        "request_id": event.by.request_id,
        "facts": dict(event.facts),
    }
    connection.execute(_RECORD, values)


def page(connection: Connection, narrowed: Filter, before: UUID | None, limit: int) -> list[Entry]:
    """Up to `limit` events, the newest first, from the one before the event `before` on.

    Leans on the primary key, whose ids are in the order of time, or on ix_audit_log_user_id_id.
    """
    query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    if narrowed.events:
        query = query.where(audit_log.c.event.in_(narrowed.events))
    for name in ("user_id", "actor", "client_address", "request_id"):
        if (wanted := getattr(narrowed, name)) is not None:
            query = query.where(audit_log.c[name] == wanted)
    if narrowed.since is not None:
        query = query.where(audit_log.c.at >= narrowed.since)
    if before is not None:
        query = query.where(audit_log.c.id < before)
    return [Entry.of(row) for row in connection.execute(query)]
