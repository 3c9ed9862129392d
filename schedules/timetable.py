"""The timetable. Each entry is a kind of outbox row, how often it falls due, and why it is there."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Entry:
    why: str
    kind: str
    every: timedelta


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


TIMETABLE: tuple[Entry, ...] = (
    Entry("fold new order events into the daily aggregates", kind="rollups.fold", every=seconds(2)),
    Entry("expire orders nobody confirmed in time", kind="orders.expire", every=seconds(30)),
    Entry("forget idempotency keys that have expired", kind="upkeep.prune-idempotency-keys", every=seconds(600)),
)
