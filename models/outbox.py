"""The queue of record. One row is one piece of work: the task, its lease, its dedupe token and its retry counter.

A row is written in the transaction that makes the work necessary and deleted in the transaction that does it. The
broker only rings the bell: whatever it loses, repeats or delays, the row decides.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Identity, Integer, Table, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from models.metadata import created_at, enumeration, index, metadata

# The n-th failure waits 2^(n-1) seconds, at most this long.
BACK_OFF_MAX = timedelta(minutes=5)
# Who only wants to see how much waits need not count millions.
COUNTED_MAX = 10_000

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    enumeration("kind", comment="the name of the task that does it"),
    Column("order_id", Uuid, comment="null for work that belongs to the timetable"),
    Column("expected_version", Integer, comment="the order's version this work was meant for"),
    created_at("available_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    Column("request_id", Text),
    Column("traceparent", Text),
    created_at(),
    index("ix_outbox_available_at_id", "available_at", "id", serves="the relay: work that has become due"),
    index(
        "uq_outbox_kind",
        "kind",
        unique=True,
        postgresql_where=text("order_id IS NULL"),
        serves="the scheduler: a tick that was not done yet is not queued twice",
    ),
    # Rows live for milliseconds. Room for in-page updates, and a vacuum that comes early and is never throttled.
    postgresql_with={
        "fillfactor": 70,
        "autovacuum_vacuum_threshold": 1000,
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_cost_delay": 0,
    },
)


# Work and Due are tuples: there are tens of thousands a second, and a frozen dataclass takes three times as long.
class Work(NamedTuple):
    """One row: something to do, for one order or for the timetable."""

    id: int
    kind: str
    order_id: UUID | None
    expected_version: int | None
    attempts: int
    request_id: str | None
    traceparent: str | None


class Due(NamedTuple):
    """A row the relay may dispatch."""

    id: int
    kind: str
    attempts: int
    request_id: str | None = None
    traceparent: str | None = None


class Failed(NamedTuple):
    """A row that has failed, and how often by now."""

    id: int
    kind: str
    order_id: UUID | None
    attempts: int
    request_id: str | None


@dataclass(frozen=True)
class Backlog:
    """What waits of one kind: how many rows, how many of them are due, and for how long the oldest of these."""

    kind: str
    depth: int
    due: int
    lag_seconds: float


_IDS = bindparam("ids", type_=ARRAY(BigInteger))

# A row that has failed is not due again before its back-off is over, however often its message comes.
_TAKE = text(
    """
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE id = ANY(:ids) AND kind = coalesce(:kind, kind) AND available_at <= now()
        ORDER BY id FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, order_id, expected_version, attempts, request_id, traceparent
    """
).bindparams(_IDS, bindparam("kind", type_=Text))

# Statistics of a table that is full now and empty a second later are always wrong; by them PostgreSQL would rather read
# all pages, dead rows and all, than walk along the index.
_ALONG_INDEXES = text(
    """
    SELECT set_config('enable_bitmapscan', 'off', false), set_config('enable_sort', 'off', false)
    """
)

# Leans on ix_outbox_available_at_id. What became due before `lookback` was seen by an earlier scan; starting there
# spares the dead entries of everything already done. The excluded ids are a subquery, because that is hashed: prepared,
# `<> ALL(array)` compares each row with thousands of ids one by one, and cost more than moving the orders did.
_DUE = text(
    """
    SELECT id, kind, attempts, request_id, traceparent FROM outbox
    WHERE available_at > coalesce(now() - CAST(:lookback AS interval), '-infinity') AND available_at <= now()
      AND id NOT IN (SELECT unnest(:ids))
    ORDER BY available_at, id LIMIT :limit
    """
).bindparams(_IDS)

# Leans on ix_outbox_available_at_id: what has been due longest is counted first, and no more than so much of it.
_BACKLOG = text(
    """
    SELECT kind, count(*) AS depth, count(*) FILTER (WHERE available_at <= now()) AS due,
        greatest(extract(epoch FROM now() - min(available_at)), 0)::float AS lag_seconds
    FROM (SELECT kind, available_at FROM outbox ORDER BY available_at, id LIMIT :limit) AS first
    GROUP BY kind ORDER BY kind
    """
)

# A row that was postponed waits for its time, not for the end of its lease.
_PRESENT = text("SELECT id, attempts FROM outbox WHERE id = ANY(:ids) AND available_at <= now()").bindparams(_IDS)

_POSTPONE = text(
    """
    UPDATE outbox SET attempts = attempts + 1, last_error = :error,
        available_at = clock_timestamp() + least(interval '1 second' * 2 ^ attempts, :back_off_max)
    WHERE id IN (SELECT id FROM outbox WHERE id = ANY(:ids) ORDER BY id FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, order_id, attempts, request_id
    """
).bindparams(_IDS)

_DUE_OF_KIND = text("SELECT id FROM outbox WHERE id = ANY(:ids) AND kind = :kind AND available_at <= now()").bindparams(
    _IDS
)

# Looked for first, because ON CONFLICT would wait for a worker that is just doing, and so deleting, the last tick.
_PUT = text(
    """
    INSERT INTO outbox (kind, order_id, expected_version, request_id, traceparent)
    SELECT :kind, :order_id, :expected_version, :request_id, :traceparent
    WHERE :order_id IS NOT NULL OR NOT EXISTS (SELECT 1 FROM outbox WHERE kind = :kind AND order_id IS NULL)
    ON CONFLICT (kind) WHERE order_id IS NULL DO NOTHING
    """
).bindparams(
    bindparam("order_id", type_=Uuid),
    bindparam("expected_version", type_=Integer),
    *(bindparam(name, type_=Text) for name in ("kind", "request_id", "traceparent")),
)


def put(
    connection: Connection,
    kind: str,
    order_id: UUID | None = None,
    expected_version: int | None = None,
    request_id: str | None = None,
    traceparent: str | None = None,
) -> bool:
    """Ask for work. False where the same work of the timetable is waiting already."""
    values = {
        "kind": kind,
        "order_id": order_id,
        "expected_version": expected_version,
        "request_id": request_id,
        "traceparent": traceparent,
    }
    return connection.execute(_PUT, values).rowcount == 1


def take(connection: Connection, ids: Sequence[int], kind: str | None = None) -> list[Work]:
    """Make these rows ours, in id order.

    Rows that are done, that another delivery holds, that are not due or not of this kind are simply not here.
    """
    taken = [Work(*row) for row in connection.execute(_TAKE, {"ids": list(ids), "kind": kind})]
    return sorted(taken, key=lambda work: work.id)


def read_along_indexes(connection: Connection) -> None:
    """For a session that does nothing but poll: from now on, `due` reads no row but those it is after."""
    connection.execute(_ALONG_INDEXES)


def due(connection: Connection, lookback: timedelta | None, excluded: Collection[int], limit: int) -> list[Due]:
    """Rows that became due within `lookback` (None: ever) and are not in `excluded`, the oldest first."""
    rows = connection.execute(_DUE, {"lookback": lookback, "ids": list(excluded), "limit": limit})
    return [Due(*row) for row in rows]


def backlog(connection: Connection, limit: int = COUNTED_MAX) -> list[Backlog]:
    """What waits, by kind; `limit` rows are counted, and where there are more, the rest is not."""
    return [Backlog(*row) for row in connection.execute(_BACKLOG, {"limit": limit})]


def present(connection: Connection, ids: Collection[int]) -> dict[int, int]:
    """Which of these rows are still to be done, and now, neither gone nor postponed; and how often each has failed."""
    rows = connection.execute(_PRESENT, {"ids": list(ids)})
    return {row.id: row.attempts for row in rows}


def due_of_kind(connection: Connection, ids: Collection[int], kind: str) -> list[int]:
    """Which of these rows are of this kind, and to be done now."""
    return list(connection.execute(_DUE_OF_KIND, {"ids": list(ids), "kind": kind}).scalars())


def postpone(connection: Connection, ids: Sequence[int], error: str) -> list[Failed]:
    """Count a failed attempt and wait before the next; returns the rows for which it was counted."""
    rows = connection.execute(_POSTPONE, {"ids": list(ids), "error": error, "back_off_max": BACK_OFF_MAX})
    return [Failed(*row) for row in rows]
