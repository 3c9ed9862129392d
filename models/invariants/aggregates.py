"""Invariants of aggregates: they are a recount of the events below their watermark, in the same snapshot (G6)."""

from models.analytics.aggregates import AGGREGATES, Aggregate, counted, wrong
from models.analytics.rollups import FROM_THE_FUTURE, TRUSTED
from models.invariants.invariant import Invariant

WATERMARK = Invariant(
    "watermark",
    "G6",
    "neither the watermark nor any event is of a transaction that has yet to begin",
    "The database is a restored dump: its transaction ids are another cluster's. Workers notice and recount.",
    f"""
    SELECT 'rollup ' || name || ' upto ' || upto FROM rollup_state WHERE NOT {TRUSTED}
    UNION ALL
    SELECT order_id || ' v' || version FROM order_events WHERE {FROM_THE_FUTURE}
    """,
)


def _recount(aggregate: Aggregate) -> Invariant:
    """An aggregate is what the events below the watermark add up to, counted from the first one."""
    key = ", ".join(aggregate.key)
    kept, right = (" || ' of ' || ".join(f"{prefix}{name}" for name in aggregate.sums) for prefix in ("kept_", ""))
    return Invariant(
        aggregate.table.replace("_", "-"),
        "G6",
        f"{aggregate.table} is a recount of the events below the watermark",
        "Something besides the fold wrote the aggregates, or the events. Run `orders rollups rebuild`.",
        f"""
        SELECT concat_ws(' ', {key}) || ': ' || {kept} || ' kept, ' || {right} || ' counted' FROM (
            WITH event AS (
                SELECT * FROM order_events WHERE xid < (SELECT upto FROM rollup_state WHERE name = 'orders')
            ) {wrong(aggregate, f"SELECT * FROM {aggregate.table}", counted(aggregate))}
        ) AS wrong
        """,
    )


INVARIANTS = (WATERMARK, *map(_recount, AGGREGATES))
