"""Who is there: every worker, relay and beat says so every few seconds in a row of its own.

A row is a statement of its process about itself. Who has been silent for `SILENT` is taken to be gone; the row of who
leaves properly goes with it, and any other is forgotten after an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Column, Connection, Integer, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from models.metadata import Instant, created_at, enumeration, metadata, one_of

SILENT = timedelta(seconds=15)
FORGOTTEN = timedelta(hours=1)


class NodeRole(StrEnum):
    WORKER = "worker"
    RELAY = "relay"
    BEAT = "beat"


nodes = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True, comment="of a Celery node; unique"),
    enumeration("role"),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    created_at("beat_at"),
    Column("leads_since", Instant, comment="null: it does not lead, or has nothing to lead"),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'"), comment="what a relay counts"),
    one_of("role", NodeRole),
    comment="the processes of the pipeline, as each of them says every few seconds",
    postgresql_with={"fillfactor": 50},
)


@dataclass(frozen=True)
class Node:
    """What a process says of itself."""

    name: str
    role: NodeRole
    pid: int
    host: str
    started_at: datetime
    leads_since: datetime | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


_REPORT = text(
    """
    WITH forgotten AS (DELETE FROM nodes WHERE beat_at < now() - :forgotten AND name <> :name)
    INSERT INTO nodes (name, role, pid, host, started_at, beat_at, leads_since, facts)
    VALUES (:name, :role, :pid, :host, :started_at, now(), :leads_since, :facts)
    ON CONFLICT (name) DO UPDATE SET
        role = excluded.role, pid = excluded.pid, host = excluded.host, started_at = excluded.started_at,
        beat_at = excluded.beat_at, leads_since = excluded.leads_since, facts = excluded.facts
    """
).bindparams(bindparam("leads_since", type_=Instant), bindparam("facts", type_=JSONB))


def report(connection: Connection, node: Node) -> None:
    """Say that this process is there; what nobody has heard of for an hour is forgotten on the way."""
    connection.execute(_REPORT, {**vars(node), "forgotten": FORGOTTEN})


def leave(connection: Connection, name: str, pid: int) -> None:
    """Say that this process goes; a namesake that came after it stays."""
    connection.execute(nodes.delete().where(nodes.c.name == name, nodes.c.pid == pid))
