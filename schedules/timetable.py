"""The timetable. Each entry is a kind of outbox row, how often it falls due, and why it is there."""

from dataclasses import dataclass

from schedules.cadences import Cadence, day, minutes, seconds


@dataclass(frozen=True)
class Entry:
    why: str
    kind: str
    every: Cadence


TIMETABLE: tuple[Entry, ...] = (
    Entry("fold new order events into the daily aggregates", kind="rollups.fold", every=seconds(2)),
    Entry("find the users with the highest revenue ahead", kind="rollups.top-users", every=seconds(5)),
    Entry("compare the aggregates with a recount, and repair them", kind="rollups.audit", every=minutes(60)),
    Entry("say who holds the fold back", kind="rollups.report-held-back", every=minutes(1)),
    Entry("expire orders nobody confirmed in time", kind="orders.expire", every=seconds(30)),
    Entry("ask again for work that was lost", kind="upkeep.redispatch", every=minutes(1)),
    Entry("chain new security events, so that changes show", kind="upkeep.seal-audit-log", every=seconds(10)),
    Entry("say which orders have overstayed their status", kind="upkeep.report-stuck", every=minutes(1)),
    Entry("forget idempotency keys that have expired", kind="upkeep.prune-idempotency-keys", every=minutes(10)),
    Entry("forget transition requests long settled", kind="upkeep.prune-transition-requests", every=day(at="03:15")),
    Entry("forget dead letters long resolved", kind="upkeep.prune-dead-letters", every=day(at="03:30")),
    Entry("forget refresh tokens long expired", kind="upkeep.prune-refresh-tokens", every=day(at="03:45")),
    Entry("forget sessions long over", kind="upkeep.prune-sessions", every=day(at="04:00")),
    Entry("forget API keys that ended long ago", kind="upkeep.prune-api-keys", every=day(at="04:15")),
    Entry("forget revocations every process has heard of", kind="upkeep.prune-revocations", every=minutes(60)),
)
