"""What was revoked lately: the way on which every API process hears, within seconds, of credentials that are void.

A credential is of a subject (a user, a session, an API key) and of an epoch. A revocation names a subject and an epoch:
what is older is void. Rows are needed for as long as a process may believe what it was told before: an access token for
its life, an API key for minutes, until it is looked up again. They are pruned a day later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Column, Connection, Identity, Integer, Select, Table, Uuid, text
from sqlalchemy.dialects.postgresql import insert

from models.metadata import Xid8, created_at, index, metadata

# A session has one epoch only: once it was ended, it stays so.
FIRST_EPOCH, ENDED_EPOCH = 0, 1
# Longer than an access token is good for, with its leeway and the clocks' differences, or an API key is remembered.
REMEMBERED = timedelta(minutes=20)
BEGINNING = "0"

revocations = Table(
    "revocations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("subject", Uuid, nullable=False, comment="a user, a session, or an API key"),
    Column(
        "epoch",
        Integer,
        nullable=False,
        comment="credentials of the subject that are of an older epoch are void",
    ),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    created_at("at"),
    index("ix_revocations_xid", "xid", serves="every API process: what was revoked since a transaction"),
    index("ix_revocations_at", "at", serves="an API process that starts, and the pruning of old ones"),
    comment="what was revoked lately, for every API process to hear of",
)


@dataclass(frozen=True)
class News:
    """What was revoked (subject → epoch) since the last look, and from which transaction on to look next."""

    void: Mapping[UUID, int]
    upto: str


def revoke(connection: Connection, subject: UUID, epoch: int) -> None:
    """Credentials of `subject` that are older than `epoch` are void."""
    connection.execute(insert(revocations).values(subject=subject, epoch=epoch))


def revoke_all(connection: Connection, subjects: Select[tuple[UUID, int]]) -> None:
    """The same for all rows (subject, epoch) of a query, which may end sessions in passing."""
    connection.execute(insert(revocations).from_select(["subject", "epoch"], subjects))


# Exact, as the fold is: of the transactions below the snapshot's xmin every one has ended, so that what they revoked is
# seen now; the others are looked at again. No clock takes part, except that nobody needs what is very old.
# Leans on ix_revocations_xid; for the first look of a process, on ix_revocations_at.
_SINCE = text(
    """
    SELECT moment.upto, r.subject, r.epoch
    FROM (SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS upto) AS moment
        LEFT JOIN revocations AS r ON r.xid >= CAST(:upto AS xid8) AND r.at > now() - CAST(:remembered AS interval)
    """
)


def since(connection: Connection, upto: str = BEGINNING) -> News:
    """What was revoked by transactions from `upto` on: everything of late, without it."""
    rows = connection.execute(_SINCE, {"upto": upto, "remembered": REMEMBERED}).all()
    if int(rows[0].upto) < int(upto):  # Transaction ids only grow: this is another cluster, restored in its place.
        return since(connection)
    return News(_newest((row.subject, row.epoch) for row in rows if row.subject is not None), rows[0].upto)


def _newest(found: Iterable[tuple[UUID, int]]) -> Mapping[UUID, int]:
    newest: dict[UUID, int] = {}
    for subject, epoch in found:
        newest[subject] = max(epoch, newest.get(subject, FIRST_EPOCH))
    return newest
