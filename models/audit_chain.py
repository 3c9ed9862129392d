"""The chain over the audit log: each seal is a keyed hash (HMAC-SHA-256) of an event and the seal before it.

Seals are added afterwards, by one worker at a time, so that recording an event waits for nobody (docs/decisions/0022).
Their key comes from SECRET_KEY: who can write to the database, and does no more, cannot make a seal that fits.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Self

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, Table, Text, Uuid, insert, select, text

from models.audit_log import Entry
from models.metadata import created_at, index, metadata
from runtime import secret
from runtime.settings import Settings

EVENTS_PER_BITE = 5_000
LOCK = 7_160_504
BEGINNING = bytes(32)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="HMAC-SHA-256 of the seal before and the event"),
    Column("key_id", Text, nullable=False, comment="names the key, and tells nothing about it"),
    created_at("sealed_at"),
    index("uq_audit_seals_event_id", "event_id", unique=True, serves="whether an event is in the chain, and once only"),
    comment="the chain over audit_log; insert only",
)


@dataclass(frozen=True)
class Head:
    """The end of a chain: whoever noted it elsewhere can tell later whether the chain up to there is still the same."""

    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"

    @classmethod
    def parse(cls, spelled: str) -> Self:
        """
        Raises:
            ValueError: this is not how a head is spelled.
        """
        position, _, digest = spelled.partition(":")
        head = cls(int(position), bytes.fromhex(digest))
        if head.position < 1 or len(head.hash) != len(BEGINNING):
            raise ValueError("a head is POSITION:64 hexadecimal digits")
        return head


@dataclass(frozen=True)
class Sealer:
    """Makes seals with the key of one SECRET_KEY."""

    key: bytes
    key_id: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        key = secret.derive(settings, "audit-log")
        return cls(key, hashlib.sha256(b"key id" + key).hexdigest()[:16])

    def after(self, previous: Head, event: Entry) -> Head:
        """The head when `event` has been added."""
        return Head(previous.position + 1, hmac.digest(self.key, previous.hash + _canonical(event), "sha256"))


def _canonical(event: Entry) -> bytes:
    """The one spelling of an event: equal bytes, equal event."""
    columns = asdict(event) | {
        "id": str(event.id),
        "at": event.at.astimezone(UTC).isoformat(),
        "user_id": None if event.user_id is None else str(event.user_id),
    }
    return json.dumps(columns, sort_keys=True, separators=(",", ":")).encode()


# Committed events only, whatever the sequence of their commits: an event that is not seen now waits for the next bite.
# One whose row was removed keeps waiting, and so is found.
_TAKE = text(
    """
    WITH due AS (
        SELECT l.id, l.at, l.event, l.user_id, l.actor, l.client_address, l.request_id, l.facts
        FROM audit_unsealed AS u JOIN audit_log AS l ON l.id = u.event_id ORDER BY u.event_id LIMIT :limit
    ), taken AS (
        DELETE FROM audit_unsealed WHERE event_id IN (SELECT id FROM due)
    )
    SELECT * FROM due ORDER BY id
    """
)


def head(connection: Connection) -> Head:
    """The end of the chain; position 0 of an empty one."""
    last = select(audit_seals.c.position, audit_seals.c.hash).order_by(audit_seals.c.position.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return Head(0, BEGINNING) if row is None else Head(row.position, row.hash)


def seal(connection: Connection, settings: Settings, limit: int = EVENTS_PER_BITE) -> tuple[int, Head]:
    """Add up to `limit` events to the chain; returns how many, and the new head."""
    # One at a time: the statements after this one see what the sealer before has committed.
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    sealer, last = Sealer.of(settings), head(connection)
    due = [Entry.of(row) for row in connection.execute(_TAKE, {"limit": limit})]
    rows = []
    for event in due:
        last = sealer.after(last, event)
        rows.append({"position": last.position, "event_id": event.id, "hash": last.hash, "key_id": sealer.key_id})
    _add(connection, rows)
    return len(due), last


def _add(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(insert(audit_seals), rows)
