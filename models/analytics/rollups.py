"""How new events are folded into the aggregates, each exactly once.

The watermark is a transaction id (xid8): events of transactions from `upto` up to the oldest one still running are
folded, and the watermark moves there, in one transaction. Every transaction below that point has ended and none can
come, so nothing is missed and nothing counted twice, whatever the sequence in which writers commit. (A watermark on a
sequence or a timestamp is wrong under concurrency: ids are given out before they commit.)
"""

from sqlalchemy import BigInteger, Column, Connection, Table, Text, text

from models.analytics.aggregates import AGGREGATES, added, counted
from models.metadata import Instant, Xid8, metadata

NAME = "orders"
# A fold is one statement; this bounds its memory and the time it holds the state row.
EVENTS_PER_FOLD = 50_000

rollup_state = Table(
    "rollup_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("upto", Xid8, nullable=False, comment="events of older transactions are folded"),
    Column("as_of", Instant, nullable=False, comment="what was committed by then is folded"),
    Column("horizon", Xid8, nullable=False, comment="at horizon_at, no transaction from here on had begun"),
    Column("horizon_at", Instant, nullable=False),
    Column("folded_at", Instant, nullable=False),
    Column(
        "sealed_upto",
        Xid8,
        comment="upto, as the last fold or rebuild left it: another one was not written by them",
    ),
    Column("cluster", BigInteger, comment="the system identifier of the cluster whose transaction ids these are"),
    Column("audited_at", Instant),
    Column(
        "drift",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="how many rows the last audit found wrong; it must be 0",
    ),
    Column("drifted_at", Instant, comment="when an audit last found any"),
)


# A watermark is trusted if it is as our last fold left it, and its transaction ids are those of this very cluster: that
# of a restored dump means nothing here. Neither does an event from the future (leans on ix_order_events_xid); those of
# this very transaction are none, although its id lies behind its snapshot.
FROM_THE_FUTURE = """
    xid >= pg_snapshot_xmax(pg_current_snapshot()) AND xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
"""
TRUSTED = f"""(
    upto IS NOT DISTINCT FROM sealed_upto AND upto <= pg_snapshot_xmax(pg_current_snapshot())
    AND cluster IS NOT DISTINCT FROM (SELECT system_identifier FROM pg_control_system())
    AND NOT EXISTS (SELECT FROM order_events WHERE {FROM_THE_FUTURE}))"""

# A bite is held and added up in memory. PostgreSQL guesses that the newest events are one in two hundred of all there
# are: with less room it would sort them instead, the more of them the longer the past is.
_WITH_ROOM = text("SELECT set_config('work_mem', '64MB', true)")

_LOCK = text("SELECT CAST(upto AS text) AS upto FROM rollup_state WHERE name = :name FOR UPDATE")

_TRUSTED = text(f"SELECT {TRUSTED} FROM rollup_state WHERE name = :name")

# Runs after the lock is held, so its snapshot is younger than the fold that moved `upto` last. Leans on
# ix_order_events_xid.
_BOUND = text(
    """
    SELECT CAST(coalesce(capped.xid, pg_snapshot_xmin(pg_current_snapshot())) AS text) AS upto,
        capped.xid IS NOT NULL AS more
    FROM (SELECT) AS always LEFT JOIN LATERAL (
        SELECT xid FROM order_events
        WHERE xid > (SELECT xid FROM order_events WHERE xid >= CAST(:since AS xid8) ORDER BY xid OFFSET :events LIMIT 1)
          AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY xid LIMIT 1
    ) AS capped ON true
    """
)

_FOLD = text(
    "WITH event AS (SELECT * FROM order_events WHERE xid >= CAST(:since AS xid8) AND xid < CAST(:upto AS xid8)), "
    + ", ".join(f"{each.table}_folded AS ({added(each, counted(each))})" for each in AGGREGATES)
    + " SELECT count(*) FROM event"
)

# A horizon is a transaction id and a time by which no transaction from that id on had begun: here this very transaction
# and its start. What was committed by then is folded as soon as the watermark has reached it; then a newer one is set.
_MOVE_WATERMARK = text(
    """
    UPDATE rollup_state SET
        upto = bound.upto, sealed_upto = bound.upto, folded_at = clock_timestamp(),
        cluster = (SELECT system_identifier FROM pg_control_system()),
        as_of = CASE WHEN bound.upto >= pg_current_xact_id() THEN now()
                     WHEN bound.upto >= horizon THEN horizon_at ELSE as_of END,
        horizon = CASE WHEN bound.upto >= horizon THEN pg_current_xact_id() ELSE horizon END,
        horizon_at = CASE WHEN bound.upto >= horizon THEN now() ELSE horizon_at END
    FROM (SELECT CAST(:upto AS xid8) AS upto) AS bound WHERE name = :name
    """
)


class UntrustedWatermark(Exception):
    """The rollups' watermark is not ours: a restored dump, a newer schema or a hand in the database. Rebuild them."""


_HORIZON = text("SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text)")

_NEW_HORIZON = text(
    "UPDATE rollup_state SET horizon = pg_current_xact_id(), horizon_at = now(), as_of = least(as_of, now())"
    " WHERE name = :name"
)


def fold(connection: Connection, limit: int = EVENTS_PER_FOLD) -> tuple[int, bool]:
    """Fold the events of ended transactions into the aggregates; returns how many, and whether more are waiting.

    Raises:
        UntrustedWatermark: nothing was folded; only a rebuild makes the aggregates exact again.
    """
    since = lock(connection)
    if not is_trusted(connection):
        raise UntrustedWatermark(UntrustedWatermark.__doc__)
    connection.execute(_WITH_ROOM)
    bound = connection.execute(_BOUND, {"since": since, "events": limit}).one()
    events = connection.execute(_FOLD, {"since": since, "upto": bound.upto}).scalar_one()
    move_watermark(connection, bound.upto)
    return events, bound.more


def lock(connection: Connection) -> str:
    """Keep folds, audits and rebuilds out until this transaction ends; returns the watermark."""
    return str(connection.execute(_LOCK, {"name": NAME}).scalar_one())


def is_trusted(connection: Connection) -> bool:
    """Whether the watermark, and the aggregates with it, are what our last fold, or a rebuild, left."""
    return bool(connection.execute(_TRUSTED, {"name": NAME}).scalar_one())


def horizon_of_snapshot(connection: Connection) -> str:
    """The transaction id below which every transaction has ended."""
    return str(connection.execute(_HORIZON).scalar_one())


def begin_anew(connection: Connection) -> None:
    """Forget the horizon: it may be of another cluster."""
    connection.execute(_NEW_HORIZON, {"name": NAME})


def move_watermark(connection: Connection, upto: str) -> None:
    """The aggregates are now a recount of the events of transactions below `upto`."""
    connection.execute(_MOVE_WATERMARK, {"name": NAME, "upto": upto})
