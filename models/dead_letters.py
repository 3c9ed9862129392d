"""Work that was tried often enough: kept for a person, out of the pipeline's way.

Here they are written, listed and read. What a person then does about one is `models/dead_letter_desk.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Identity,
    Integer,
    Row,
    Table,
    Text,
    Uuid,
    bindparam,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from models import errors
from models.advance import Step, advance
from models.lifecycle import BY_ENDS, Policy, Status
from models.metadata import Instant, enumeration, index, metadata, one_of
from models.orders import orders
from models.transition_requests import KIND as TRANSITION_KIND
from runtime import database

ATTEMPTS_EXHAUSTED = "attempts_exhausted"


class Origin(StrEnum):
    """What a dead letter was."""

    OUTBOX = "outbox"
    MESSAGE = "message"


class Resolution(StrEnum):
    """What became of a dead letter."""

    REPLAYED = "replayed"  # the same work is in the outbox again
    RETRIED = "retried"  # its failed order was asked back to pending, where its way begins anew
    MOOT = "moot"  # nothing was left to do
    DISCARDED = "discarded"


dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    enumeration("kind"),
    Column("order_id", Uuid),
    Column("expected_version", Integer),
    Column("request_id", Text),
    Column("error", Text, nullable=False),
    Column("traceback", Text),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("resolved_by", Text),
    Column("resolved_how", Text),
    Column("resolved_because", Text),
    enumeration(
        "origin", server_default=text("'outbox'"), comment="an outbox row, or a message that no row stood behind"
    ),
    one_of("origin", Origin),
    one_of("resolved_how", Resolution),
    CheckConstraint("num_nulls(resolved_at, resolved_by, resolved_how) IN (0, 3)", name="resolved_whole"),
    index(
        "ix_dead_letters_id",
        "id",
        postgresql_where=text("resolved_at IS NULL"),
        serves="the list of dead letters that wait for somebody",
    ),
    index("ix_dead_letters_order_id_id", "order_id", "id", serves="the dead letters of one order"),
)


@dataclass(frozen=True)
class Letter:
    """A dead letter. `first_at` is when its work was asked for, `last_at` when it was given up."""

    id: int
    kind: str
    order_id: UUID | None
    expected_version: int | None
    request_id: str | None
    error: str
    traceback: str | None
    attempts: int
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    resolved_how: Resolution | None
    resolved_because: str | None
    origin: Origin

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        how = None if row.resolved_how is None else Resolution(row.resolved_how)
        return cls(**{**row._mapping, "origin": Origin(row.origin), "resolved_how": how})


class State(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"
    ALL = "all"


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to; `since` is about the moment at which work was given up."""

    state: State = State.OPEN
    kind: str | None = None
    order_id: UUID | None = None
    since: datetime | None = None


def page(connection: Connection, narrowed: Filter, before: int | None, limit: int) -> list[Letter]:
    """Up to `limit` letters without their tracebacks, the newest first, from the one before the letter `before` on.

    Leans on ix_dead_letters_id, or ix_dead_letters_order_id_id, or for resolved ones on the primary key.
    """
    columns = (null().label(each.name) if each is dead_letters.c.traceback else each for each in dead_letters.c)
    query = select(*columns).order_by(dead_letters.c.id.desc()).limit(limit)
    if narrowed.state is not State.ALL:
        is_open = dead_letters.c.resolved_at.is_(None)
        query = query.where(is_open if narrowed.state is State.OPEN else ~is_open)
    if narrowed.kind is not None:
        query = query.where(dead_letters.c.kind == narrowed.kind)
    if narrowed.order_id is not None:
        query = query.where(dead_letters.c.order_id == narrowed.order_id)
    if narrowed.since is not None:
        query = query.where(dead_letters.c.last_at >= narrowed.since)
    if before is not None:
        query = query.where(dead_letters.c.id < before)
    return [Letter.of(row) for row in connection.execute(query)]


def get(connection: Connection, letter_id: int) -> Letter:
    """
    Raises:
        errors.NotFound: there is none with this id.
    """
    row = connection.execute(select(dead_letters).where(dead_letters.c.id == letter_id)).one_or_none()
    if row is None:
        raise errors.NotFound(f"There is no dead letter {letter_id}.")
    return Letter.of(row)


_BURY = text(
    """
    WITH dead AS (DELETE FROM outbox WHERE id = ANY(:ids) RETURNING *)
    INSERT INTO dead_letters
        (kind, order_id, expected_version, request_id, error, traceback, attempts, first_at, last_at)
    SELECT kind, order_id, expected_version, request_id, :error, :traceback, attempts, created_at, now() FROM dead
    RETURNING order_id, kind, expected_version
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

# Who asked for a transition, and may be waiting for it, is told that nobody will get to it.
_REFUSE = text(
    """
    UPDATE transition_requests SET state = 'refused', refusal = :refusal, resolved_at = now()
    WHERE order_id = ANY(:order_ids) AND state = 'pending'
    """
).bindparams(bindparam("order_ids", type_=ARRAY(Uuid)))

# Somebody who sends the same nonsense again and again fills one letter, not the table.
_NOTE = text(
    """
    WITH known AS (
        UPDATE dead_letters SET attempts = attempts + 1, last_at = now() WHERE id = (
            SELECT max(id) FROM dead_letters
            WHERE resolved_at IS NULL AND origin = 'message' AND kind = :kind AND error = :error)
        RETURNING attempts
    ), new AS (
        INSERT INTO dead_letters (origin, kind, error, attempts, first_at, last_at)
        SELECT 'message', :kind, :error, 1, now(), now() WHERE NOT EXISTS (SELECT 1 FROM known)
        RETURNING attempts
    )
    SELECT attempts FROM known UNION ALL SELECT attempts FROM new
    """
).bindparams(bindparam("kind", type_=Text), bindparam("error", type_=Text))


def bury(connection: Connection, ids: Sequence[int], error: str, traceback: str | None, policy: Policy) -> None:
    """Turn outbox rows into dead letters, and their orders, where the lifecycle has the move, into failed ones.

    A transition that was asked for is refused. An order that cannot even fail (its stock contradicts it, say) stays as
    it is; the letter stands for it. So does one that has moved on since: what died was not its work any more.
    """
    values = {"ids": list(ids), "error": error, "traceback": traceback}
    dead = connection.execute(_BURY, values).all()
    meant_for = {(row.order_id, row.expected_version) for row in dead if row.order_id is not None}
    order_ids = [order_id for order_id, _ in meant_for]
    asked_for = [row.order_id for row in dead if row.kind == TRANSITION_KIND]
    if asked_for:
        connection.execute(_REFUSE, {"order_ids": asked_for, "refusal": ATTEMPTS_EXHAUSTED})
    found = connection.execute(
        select(orders.c.id, orders.c.version, orders.c.status).where(orders.c.id.in_(order_ids))
    ).all()
    for row in found:
        is_meant = not meant_for.isdisjoint({(row.id, row.version), (row.id, None)})
        if is_meant and (Status(row.status), Status.FAILED) in BY_ENDS:
            step = Step(row.id, row.version, Status(row.status), Status.FAILED, reason=ATTEMPTS_EXHAUSTED)
            _fail(connection, step, policy)


def _fail(connection: Connection, step: Step, policy: Policy) -> None:
    try:
        with connection.begin_nested():
            advance(connection, [step], policy)
    except DBAPIError as error:
        # What a second try may cure is tried again, with the whole burial.
        if database.is_unavailable(error) or database.is_worth_retrying(error):
            raise


def note_message(connection: Connection, kind: str, error: str) -> int:
    """Keep that a message was refused which no outbox row stood behind; its `attempts` are how often it came, which is
    returned."""
    return int(connection.execute(_NOTE, {"kind": kind, "error": error}).scalar_one())
