"""What a scrape reads by SQL: how the pipeline, the orders and the database are doing, as gauges.

Nothing of this is counted by a process: whoever asks reads it, and it is true however many processes there are, and
whichever of them died. Each part is read by itself, so that one that cannot be read leaves the others alone.
"""

from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import Connection, text

from models import pipeline
from models.outbox import COUNTED_MAX
from runtime.metrics import Form, Metric, Sample


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(name, Form.GAUGE, meaning, labels)


DATABASE_UP = _gauge("orders_database_up", "1: the database answered; 0: it did not, and what SQL tells is missing")
PART_READ = _gauge("orders_vitals_read", "1: this part was read in time; 0: its gauges are missing", "part")

OUTBOX_DEPTH = _gauge("orders_outbox_depth", "rows of the outbox, at most 10 000 of all kinds together", "kind")
OUTBOX_LAG = _gauge("orders_outbox_lag_seconds", "for how long the oldest row that is due has waited", "kind")
RELAYS = _gauge("orders_relays", "relays that were heard of in the last 15 s")
RELAY_LEADS = _gauge("orders_relay_leads", "1: one of them leads")
WORKERS = _gauge("orders_workers", "workers that were heard of in the last 15 s")
BEATS = _gauge("orders_beats", "beats that were heard of in the last 15 s")
BEAT_LEADS = _gauge("orders_beat_leads", "1: one of them leads")
BEAT_AGE = _gauge("orders_beat_age_seconds", "how long ago the leading beat was last heard of")
BROKER_REACHABLE = _gauge("orders_broker_reachable", "1: the leading relay's last message went out; 0: it did not")
ROLLUP_LAG = _gauge("orders_rollup_lag_seconds", "how long ago `as_of` of the aggregates was")
ROLLUP_DRIFT = _gauge("orders_rollup_drift_rows", "rows of the aggregates that the last audit found wrong")
ROLLUP_TRUSTED = _gauge(
    "orders_rollup_trusted",
    "1: the aggregates' watermark is as our own fold left it; 0: it is not, and all is recounted",
)
STUCK = _gauge("orders_stuck", "orders that have overstayed their status, at most 10 000")
DEAD_LETTERS = _gauge("orders_dead_letters", "dead letters that nobody has resolved, at most 10 000")
RECENT_LETTERS = _gauge(
    "orders_dead_letters_recent",
    "dead letters that came within the last 15 minutes, among the newest 10 000 that nobody has resolved",
)
OVERDUE = _gauge("orders_timetable_overdue", "entries of the timetable that have not succeeded for three periods")

BY_STATUS = _gauge("orders_by_status", "orders in each status, as of the aggregates", "status")

CONNECTIONS = _gauge("orders_database_connections", "connections that all clients have to this PostgreSQL")
CONNECTIONS_MAX = _gauge("orders_database_connections_max", "connections that clients who are not superusers may have")
DATABASE_BYTES = _gauge("orders_database_size_bytes", "what this database takes on disk")

METRICS = (
    DATABASE_UP,
    PART_READ,
    OUTBOX_DEPTH,
    OUTBOX_LAG,
    RELAYS,
    RELAY_LEADS,
    WORKERS,
    BEATS,
    BEAT_LEADS,
    BEAT_AGE,
    BROKER_REACHABLE,
    ROLLUP_LAG,
    ROLLUP_DRIFT,
    ROLLUP_TRUSTED,
    STUCK,
    DEAD_LETTERS,
    RECENT_LETTERS,
    OVERDUE,
    BY_STATUS,
    CONNECTIONS,
    CONNECTIONS_MAX,
    DATABASE_BYTES,
)

# How many there are stops to grow at COUNTED_MAX; this is still told then. Leans on ix_dead_letters_id.
_RECENT_LETTERS = text(
    """
    SELECT count(*) FROM (SELECT last_at FROM dead_letters WHERE resolved_at IS NULL ORDER BY id DESC LIMIT :limit)
        AS newest
    WHERE last_at > now() - interval '15 minutes'
    """
)

# A few rows a day, along the primary key; counting orders would read all of them.
_BY_STATUS = text("SELECT status, CAST(sum(orders) AS bigint) AS orders FROM daily_orders GROUP BY status")

# `pg_stat_activity` hides from our roles what the connections of others are.
_DATABASE = text(
    """
    SELECT (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - current_setting('reserved_connections')::int AS connections_max,
        pg_database_size(current_database()) AS bytes
    """
)


def read_pipeline(connection: Connection) -> Iterator[Sample]:
    seen = pipeline.look(connection)
    for backlog in seen.outbox:
        yield Sample(OUTBOX_DEPTH, backlog.depth, (backlog.kind,))
        yield Sample(OUTBOX_LAG, backlog.lag_seconds, (backlog.kind,))
    yield Sample(RELAYS, seen.relay.alive)
    yield Sample(RELAY_LEADS, float(seen.relay.leader is not None))
    yield Sample(WORKERS, seen.workers.alive)
    yield Sample(BEATS, seen.beat.alive)
    yield Sample(BEAT_LEADS, float(seen.beat.leader is not None))
    if seen.beat.leader is not None:
        yield Sample(BEAT_AGE, seen.beat.leader.beat_age_seconds)
    if seen.relay.broker_reachable is not None:
        yield Sample(BROKER_REACHABLE, float(seen.relay.broker_reachable))
    yield Sample(ROLLUP_LAG, seen.rollups.lag_seconds)
    yield Sample(ROLLUP_DRIFT, seen.rollups.drift)
    yield Sample(ROLLUP_TRUSTED, float(seen.rollups.trusted))
    yield Sample(STUCK, seen.stuck_orders)
    yield Sample(DEAD_LETTERS, seen.dead_letters)
    yield Sample(RECENT_LETTERS, connection.execute(_RECENT_LETTERS, {"limit": COUNTED_MAX}).scalar_one())
    yield Sample(OVERDUE, len(seen.overdue))


def read_orders(connection: Connection) -> Iterator[Sample]:
    for row in connection.execute(_BY_STATUS):
        yield Sample(BY_STATUS, row.orders, (row.status,))


def read_database(connection: Connection) -> Iterator[Sample]:
    found = connection.execute(_DATABASE).one()
    yield Sample(CONNECTIONS, found.connections)
    yield Sample(CONNECTIONS_MAX, found.connections_max)
    yield Sample(DATABASE_BYTES, found.bytes)


PARTS: Mapping[str, Callable[[Connection], Iterator[Sample]]] = {
    "pipeline": read_pipeline,
    "orders": read_orders,
    "database": read_database,
}
