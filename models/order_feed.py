"""Everything that happens to orders, as one sequence that has no gaps for who reads it page by page.

The sequence is that of transaction ids, and it ends below the oldest transaction that still runs: what stands behind a
reader's position can only be appended to, never inserted into (compare `models/analytics/rollups.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Integer, Text, Uuid, bindparam, text

from models.orders import EVENT_COLUMNS, Event


@dataclass(frozen=True)
class Position:
    """Behind this event. `xid` is the id of the transaction that wrote it."""

    xid: str
    order_id: UUID
    version: int


@dataclass(frozen=True)
class Entry:
    event: Event
    position: Position


# Leans on ix_order_events_xid; only the events of one transaction have to be sorted. The order names the table: `xid`
# alone would be the text of the answer, in which 1000 comes before 999.
_PAGE = text(
    f"""
    SELECT CAST(xid AS text) AS xid, {", ".join(EVENT_COLUMNS)} FROM order_events
    WHERE xid >= CAST(:xid AS xid8) AND xid < pg_snapshot_xmin(pg_current_snapshot())
      AND (xid, order_id, version) > (CAST(:xid AS xid8), :order_id, :version)
    ORDER BY order_events.xid, order_id, version LIMIT :limit
    """
).bindparams(bindparam("xid", type_=Text), bindparam("order_id", type_=Uuid), bindparam("version", type_=Integer))

BEGINNING = Position("0", UUID(int=0), 0)


def page(connection: Connection, after: Position, limit: int) -> Sequence[Entry]:
    """Up to `limit` events behind `after`, as far as no older one can still appear."""
    values = {"xid": after.xid, "order_id": after.order_id, "version": after.version, "limit": limit}
    rows = connection.execute(_PAGE, values)
    return [
        Entry(
            Event(*(getattr(row, name) for name in EVENT_COLUMNS)),
            Position(row.xid, row.order_id, row.version),
        )
        for row in rows
    ]
