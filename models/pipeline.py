"""How the pipeline is doing, in one look: what waits and for how long, who is there, and what somebody has to look at.

Cheap enough to be asked every few seconds: nothing here reads more than `COUNTED_MAX` rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, text

from models import outbox, schedule, stuck
from models.analytics import hold_ups
from models.analytics.hold_ups import HoldUp
from models.analytics.rollups import NAME, TRUSTED
from models.nodes import SILENT, NodeRole
from models.outbox import COUNTED_MAX, Backlog

# From here on somebody should know. The relay dispatches within milliseconds; a lease that is lost costs half a minute.
OUTBOX_LAG_MAX = timedelta(seconds=60)
ROLLUP_LAG_MAX = timedelta(seconds=60)


class PipelineProblem(StrEnum):
    NO_RELAY = "no_relay"
    NO_WORKER = "no_worker"
    NO_BEAT = "no_beat"
    BROKER_UNREACHABLE = "broker_unreachable"
    OUTBOX_LAGS = "outbox_lags"
    ROLLUPS_LAG = "rollups_lag"
    ROLLUPS_DRIFT = "rollups_drift"
    ROLLUPS_UNTRUSTED = "rollups_untrusted"
    STUCK_ORDERS = "stuck_orders"
    DEAD_LETTERS = "dead_letters"
    TIMETABLE_OVERDUE = "timetable_overdue"


@dataclass(frozen=True)
class Leader:
    """A relay or beat that leads, and when it was last heard of."""

    name: str
    since: datetime
    beat_age_seconds: float


@dataclass(frozen=True)
class Attendance:
    """Who of a role was heard of lately, and who of them leads (of workers, nobody)."""

    alive: int
    leader: Leader | None
    broker_reachable: bool | None


@dataclass(frozen=True)
class Rollups:
    """How old the aggregates are and who keeps them so; how many rows the last audit found wrong; whether they hold."""

    as_of: datetime
    lag_seconds: float
    held_back_by: HoldUp | None
    audited_at: datetime | None
    drift: int
    trusted: bool


@dataclass(frozen=True)
class Pipeline:
    """Counts end at `COUNTED_MAX`."""

    outbox: Sequence[Backlog]
    relay: Attendance
    workers: Attendance
    beat: Attendance
    rollups: Rollups
    stuck_orders: int
    dead_letters: int
    overdue: Sequence[str]

    @property
    def depth(self) -> int:
        return sum(each.depth for each in self.outbox)

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest work that is due has waited."""
        return max((each.lag_seconds for each in self.outbox), default=0.0)

    @property
    def problems(self) -> list[PipelineProblem]:
        """What somebody should look at; empty where all is well."""
        return list(_problems(self))


def _problems(seen: Pipeline) -> Iterator[PipelineProblem]:
    found = {
        PipelineProblem.NO_RELAY: seen.relay.leader is None,
        PipelineProblem.NO_WORKER: seen.workers.alive == 0,
        PipelineProblem.NO_BEAT: seen.beat.leader is None,
        PipelineProblem.BROKER_UNREACHABLE: seen.relay.broker_reachable is False,
        PipelineProblem.OUTBOX_LAGS: seen.lag_seconds > OUTBOX_LAG_MAX.total_seconds(),
        PipelineProblem.ROLLUPS_LAG: seen.rollups.lag_seconds > ROLLUP_LAG_MAX.total_seconds(),
        PipelineProblem.ROLLUPS_DRIFT: seen.rollups.drift > 0,
        PipelineProblem.ROLLUPS_UNTRUSTED: not seen.rollups.trusted,
        PipelineProblem.STUCK_ORDERS: seen.stuck_orders > 0,
        PipelineProblem.DEAD_LETTERS: seen.dead_letters > 0,
        PipelineProblem.TIMETABLE_OVERDUE: bool(seen.overdue),
    }
    yield from (problem for problem, is_there in found.items() if is_there)


# Two of a role claim the lead as long as one of them has lost it and not said so yet: who was heard of last has it.
_PRESENT = text(
    """
    SELECT role, count(*) OVER (PARTITION BY role) AS alive, name, leads_since,
        extract(epoch FROM clock_timestamp() - beat_at)::float AS age, CAST(facts ->> 'broker_reachable' AS boolean)
            AS broker_reachable
    FROM nodes WHERE beat_at > clock_timestamp() - :silent ORDER BY role, leads_since IS NOT NULL, beat_at
    """
)

# Leans on ix_dead_letters_id.
_COUNTS = text(
    f"""
    SELECT as_of, greatest(extract(epoch FROM now() - as_of), 0)::float AS lag_seconds, audited_at, drift,
        {TRUSTED} AS trusted,
        (SELECT count(*) FROM (SELECT FROM dead_letters WHERE resolved_at IS NULL LIMIT :limit) AS found) AS dead
    FROM rollup_state WHERE name = :name
    """
)


def look(connection: Connection) -> Pipeline:
    """How the pipeline is doing now."""
    present = _present(connection)
    counts = connection.execute(_COUNTS, {"limit": COUNTED_MAX, "name": NAME}).one()
    return Pipeline(
        outbox=outbox.backlog(connection),
        relay=present[NodeRole.RELAY],
        workers=present[NodeRole.WORKER],
        beat=present[NodeRole.BEAT],
        rollups=Rollups(
            as_of=counts.as_of,
            lag_seconds=counts.lag_seconds,
            held_back_by=hold_ups.holding_back(connection),
            audited_at=counts.audited_at,
            drift=counts.drift,
            trusted=counts.trusted,
        ),
        stuck_orders=sum(each.orders for each in stuck.stuck(connection)),
        dead_letters=counts.dead,
        overdue=[each.entry for each in schedule.overdue(connection)],
    )


def _present(connection: Connection) -> dict[NodeRole, Attendance]:
    present = {role: Attendance(0, None, None) for role in NodeRole}
    for row in connection.execute(_PRESENT, {"silent": SILENT}):
        leader = Leader(row.name, row.leads_since, row.age) if row.leads_since is not None else None
        present[NodeRole(row.role)] = Attendance(row.alive, leader, row.broker_reachable)
    return present
