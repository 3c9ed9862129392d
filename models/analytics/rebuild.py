"""The rebuild: everything is recounted beside the aggregates, and these corrected in one transaction at the end.

Orders come in, and are folded, meanwhile. Readers see the aggregates as they were or as they are, and nothing between:
what differs is written, under the watermark's lock, and the watermark moved along with it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Uuid, text

from models.analytics.aggregates import AGGREGATES, Aggregate, added, corrected, counted, wrong
from models.analytics.rollups import begin_anew, horizon_of_snapshot, lock, move_watermark

P = ParamSpec("P")
R = TypeVar("R")

ORDERS_PER_BITE = 50_000
EVENTS_PER_BITE = 50_000
BEFORE_ALL, AFTER_ALL = UUID(int=0), UUID(int=2**128 - 1)


class Run(Protocol):
    """How a step is run: in a transaction of its own, or in one for all of them."""

    def __call__(self, verb: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


@dataclass(frozen=True)
class Progress:
    """What a rebuild has done so far. At the end, how many rows of each aggregate it corrected."""

    counted: int
    orders: int
    corrected: Mapping[str, int] | None = None


def within(connection: Connection) -> Run:
    """All steps in the transaction of the connection: its id holds back the fold until the rebuild has ended."""

    def run(verb: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return verb(connection, *args, **kwargs)

    return run


def rebuild(run: Run, orders_per_bite: int = ORDERS_PER_BITE) -> Iterator[Progress]:
    """Recount everything beside the aggregates and, in one transaction at the end, make these say the same.

    Orders may come in, and be folded, meanwhile. The steps share a session: what is counted stands in temporary tables.
    """
    while run(_restamp):
        pass
    upto, orders = run(_begin)
    after, done = BEFORE_ALL, 0
    while after != AFTER_ALL:
        yield Progress(min(done, orders), orders)
        after = run(_count_behind, after, upto, orders_per_bite)
        done += orders_per_bite
    yield Progress(orders, orders, run(_swap, upto))


# A restored dump brings events along whose ids this cluster has yet to give out: they would be counted when it has.
# Nobody may update an event: the function does this alone, with its owner's rights (migration 0013).
_RESTAMP = text("SELECT restamp_future_events(:events)")
_LAST_OF_BITE = text("SELECT id FROM orders WHERE id > :after ORDER BY id OFFSET :orders LIMIT 1").columns(id=Uuid)
# Leans on the primary key of order_events.
_OF_BITE = """
    SELECT * FROM order_events WHERE order_id > :after AND order_id <= :last AND xid < CAST(:upto AS xid8)
"""
_WITHOUT_HASTE = text("SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; SET LOCAL work_mem = '64MB'")
_SINCE = "SELECT * FROM order_events WHERE xid >= CAST(:since AS xid8) AND xid < CAST(:upto AS xid8)"


def _restamp(connection: Connection) -> int:
    return int(connection.execute(_RESTAMP, {"events": EVENTS_PER_BITE}).scalar_one())


def _begin(connection: Connection) -> tuple[str, int]:
    """Make room to count in; returns below which transaction id is counted, and how many orders there are."""
    for each in AGGREGATES:
        connection.execute(text(f"DROP TABLE IF EXISTS pg_temp.{_beside(each)}"))
        columns = f"LIKE {each.table}, PRIMARY KEY ({', '.join(each.key)})"
        connection.execute(text(f"CREATE TEMPORARY TABLE {_beside(each)} ({columns})"))
    orders = connection.execute(text("SELECT count(*) FROM orders")).scalar_one()
    return horizon_of_snapshot(connection), orders


def _count_behind(connection: Connection, after: UUID, upto: str, orders: int) -> UUID:
    """Count the events of the next orders in the order of their ids; returns the last of them."""
    last = connection.execute(_LAST_OF_BITE, {"after": after, "orders": orders - 1}).scalar_one_or_none()
    values = {"after": after, "last": last or AFTER_ALL, "upto": upto}
    for each in AGGREGATES:
        _add_beside(connection, each, _OF_BITE, values)
    return last or AFTER_ALL


def _swap(connection: Connection, since: str) -> Mapping[str, int]:
    """Count what has happened since, and correct the aggregates where they differ, all at once."""
    connection.execute(_WITHOUT_HASTE)
    lock(connection)
    upto = horizon_of_snapshot(connection)
    rows = {}
    for each in AGGREGATES:
        _add_beside(connection, each, _SINCE, {"since": since, "upto": upto})
        connection.execute(text(f"ANALYZE {_beside(each)}"))
        found = wrong(each, f"SELECT * FROM {each.table}", f"SELECT * FROM {_beside(each)}")
        statement = f"WITH wrong AS MATERIALIZED ({found}), repaired AS ({corrected(each, 'SELECT * FROM wrong')})"
        rows[each.table] = connection.execute(text(f"{statement} SELECT count(*) FROM wrong")).scalar_one()
        connection.execute(text(f"DROP TABLE {_beside(each)}"))
    begin_anew(connection)
    move_watermark(connection, upto)
    return rows


def _add_beside(connection: Connection, aggregate: Aggregate, events: str, values: Mapping[str, object]) -> None:
    statement = added(aggregate, counted(aggregate), _beside(aggregate))
    connection.execute(text(f"WITH event AS ({events}) {statement}"), values)


def _beside(aggregate: Aggregate) -> str:
    """The temporary table in which the aggregate is counted anew."""
    return f"recounted_{aggregate.table}"
