"""Who holds the fold back: the oldest write transaction of the whole cluster, where it has been open for long.

A role without pg_read_all_stats is told who others are and not since when they are at it. Then `since` is the moment
from which on nothing is folded any more, which is when that transaction began to write, or a little before.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.types import Interval

from models.analytics.rollups import NAME

# Transactions of ours end in this time, or are ended.
PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True)
class HoldUp:
    """A session, or a transaction that was prepared (two-phase commit) and that no session has any more."""

    pid: int | None
    prepared: str | None
    user: str | None
    database: str | None
    application: str | None
    since: datetime


_HOLDING_BACK = text(
    """
    WITH state AS (SELECT as_of FROM rollup_state WHERE name = :name AND as_of < now() - :patience),
    oldest AS (SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS xid) AS xid)
    SELECT pid, NULL AS prepared, usename AS user, datname AS database, nullif(application_name, '') AS application,
        coalesce(xact_start, as_of) AS since
    FROM state, oldest, pg_stat_activity WHERE backend_xid = oldest.xid AND pid <> pg_backend_pid()
    UNION ALL
    SELECT NULL, gid, owner, database, NULL, prepared
    FROM state, oldest, pg_prepared_xacts WHERE transaction = oldest.xid
    """
).bindparams(bindparam("patience", type_=Interval))


def holding_back(connection: Connection) -> HoldUp | None:
    """Who it is, if the aggregates have been standing still for longer than our own transactions may last."""
    row = connection.execute(_HOLDING_BACK, {"name": NAME, "patience": PATIENCE}).first()
    return HoldUp(*row) if row else None
