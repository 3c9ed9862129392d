"""Work that was tried often enough: kept for a person, out of the pipeline's way."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import BigInteger, Column, Connection, Identity, Integer, Table, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError

from models.advance import Step, advance
from models.lifecycle import BY_ENDS, Policy, Status
from models.metadata import Instant, enumeration, index, metadata
from models.orders import orders
from models.transition_requests import KIND as TRANSITION_KIND

ATTEMPTS_EXHAUSTED = "attempts_exhausted"

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
    index(
        "ix_dead_letters_id",
        "id",
        postgresql_where=text("resolved_at IS NULL"),
        serves="the list of dead letters that wait for somebody",
    ),
)

_BURY = text(
    """
    WITH dead AS (DELETE FROM outbox WHERE id = ANY(:ids) RETURNING *)
    INSERT INTO dead_letters
        (kind, order_id, expected_version, request_id, error, traceback, attempts, first_at, last_at)
    SELECT kind, order_id, expected_version, request_id, :error, :traceback, attempts, created_at, now() FROM dead
    RETURNING order_id, kind
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))

# Who asked for a transition, and may be waiting for it, is told that nobody will get to it.
_REFUSE = text(
    """
    UPDATE transition_requests SET state = 'refused', refusal = :refusal, resolved_at = now()
    WHERE order_id = ANY(:order_ids) AND state = 'pending'
    """
).bindparams(bindparam("order_ids", type_=ARRAY(Uuid)))


def bury(connection: Connection, ids: Sequence[int], error: str, traceback: str | None, policy: Policy) -> None:
    """Turn outbox rows into dead letters, and their orders, where the lifecycle has the move, into failed ones.

    A transition that was asked for is refused. An order that cannot even fail (its stock contradicts it, say) stays as
    it is; the letter stands for it.
    """
    values = {"ids": list(ids), "error": error, "traceback": traceback}
    dead = connection.execute(_BURY, values).all()
    order_ids = [row.order_id for row in dead if row.order_id is not None]
    asked_for = [row.order_id for row in dead if row.kind == TRANSITION_KIND]
    if asked_for:
        connection.execute(_REFUSE, {"order_ids": asked_for, "refusal": ATTEMPTS_EXHAUSTED})
    found = connection.execute(
        select(orders.c.id, orders.c.version, orders.c.status).where(orders.c.id.in_(order_ids))
    ).all()
    steps = [
        Step(row.id, row.version, Status(row.status), Status.FAILED, reason=ATTEMPTS_EXHAUSTED)
        for row in found
        if (Status(row.status), Status.FAILED) in BY_ENDS
    ]
    for step in steps:
        with suppress(IntegrityError), connection.begin_nested():
            advance(connection, [step], policy)
