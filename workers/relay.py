"""What a leading relay does: turn due outbox rows into as few messages as possible, and remember the leases.

A lease ends when the row is gone. A row that outlives its lease is dispatched again, alone, so that one poisonous row
cannot take its neighbours with it; it counts as a failed attempt only if its message has left the queue, because a
message that still waits there has not been tried.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, Self

from sqlalchemy import Connection

from models import outbox
from models.outbox import Due
from runtime import logs
from workers import attempts

log = logs.get(__name__)

BATCH_MAX = 100
# Bounds what the broker holds, and what a new leader has to dispatch again.
IN_FLIGHT_MAX = 4_000
SETTLE_SECONDS = 1.0
SETTLE_SECONDS_WHEN_FULL = 0.1
# What was committed this long after its transaction began is found by the quick scan; what took longer, by a full one.
OVERLAP = timedelta(milliseconds=250)
FULL_SCAN_SECONDS = 1.0
FULL_SCAN_SHARE = 0.02
LEASE_OVERRUN = "not done within its lease"


@dataclass(frozen=True)
class Batch:
    """One message: rows of one kind that have failed equally often, and the requests and traces that they come from."""

    kind: str
    ids: tuple[int, ...]
    attempts: int = 0
    request_ids: tuple[str, ...] = ()
    traceparents: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str, rows: Sequence[Due]) -> Self:
        return cls(
            kind,
            tuple(row.id for row in rows),
            rows[0].attempts,
            tuple(dict.fromkeys(row.request_id for row in rows if row.request_id)),
            _traceparents(rows),
        )


def _traceparents(rows: Sequence[Due]) -> tuple[str, ...]:
    """Each once; and an empty one where rows of no trace are among them, whose work is not to be counted as theirs."""
    found = dict.fromkeys(row.traceparent or "" for row in rows)
    return tuple(found) if any(found) else ()


class BrokerUnreachable(Exception):
    """The broker did not do what it was asked for, or did it and could not say so."""


class Bell(Protocol):
    """The broker, as the relay needs it. Whatever it is asked may raise BrokerUnreachable."""

    def ring(self, batches: Sequence[Batch]) -> None:
        """Publish one message per batch; what fails may have published some of them."""

    def queue(self, kind: str) -> str:
        """The queue into which messages of this kind go."""

    def waiting(self, queue: str) -> int:
        """How many messages nobody has fetched yet."""


@dataclass(frozen=True)
class Lease:
    """For one failed attempt more, or none: a row that has failed since it was dispatched is not in work any more."""

    ends_at: float
    queue: str
    message: int
    attempts: int


def batches_of(rows: Iterable[Due]) -> list[Batch]:
    """Rows by kind, at most BATCH_MAX together; a row that has failed before goes alone."""
    fresh: dict[str, list[Due]] = {}
    alone = []
    for row in rows:
        if row.attempts:
            alone.append(Batch.of(row.kind, [row]))
        else:
            fresh.setdefault(row.kind, []).append(row)
    together = [
        Batch.of(kind, alike[start : start + BATCH_MAX])
        for kind, alike in fresh.items()
        for start in range(0, len(alike), BATCH_MAX)
    ]
    return together + alone


class Relay:
    """The memory of one leader. A new one begins with none and dispatches all it finds: a duplicate does nothing."""

    def __init__(
        self,
        bell: Bell,
        lease: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bell = bell
        self._lease_seconds = lease.total_seconds()
        self._monotonic = monotonic
        self._leases: dict[int, Lease] = {}
        self._messages: Counter[str] = Counter()
        self._dispatched = self._redispatched = 0
        self._scanned_at: float | None = None
        self._next_full_scan_at = float("-inf")
        self._settled_at = float("-inf")

    @property
    def counts(self) -> Mapping[str, int]:
        """What this leader has done, in rows (and messages), and how many rows are in work."""
        return {
            "in_flight": len(self._leases),
            "dispatched": self._dispatched,
            "redispatched": self._redispatched,
            "messages": self._messages.total(),
        }

    def turn(self, connection: Connection) -> int:
        """Dispatch what is due; returns how many rows. `connection` is in autocommit mode."""
        if self._is_time_to_settle():
            self._settle(connection)
        room = IN_FLIGHT_MAX - len(self._leases)
        rows = self._scan(connection, room) if room > 0 else []
        if rows:
            self._dispatch(batches_of(rows))
            self._dispatched += len(rows)
            self._redispatched += sum(row.attempts > 0 for row in rows)
        return len(rows)

    def _scan(self, connection: Connection, room: int) -> list[Due]:
        now = self._monotonic()
        is_full = self._scanned_at is None or now >= self._next_full_scan_at
        lookback = None if is_full else OVERLAP + timedelta(seconds=now - (self._scanned_at or now))
        rows = outbox.due(connection, lookback, self._leases, room)
        if is_full:
            # It reads past every dead row that no vacuum could remove yet: however many, it takes little of our time.
            done = self._monotonic()
            self._next_full_scan_at = done + max(FULL_SCAN_SECONDS, (done - now) / FULL_SCAN_SHARE)
        # A scan that had to stop early has not seen everything: the next one starts from the beginning.
        self._scanned_at = None if len(rows) == room else now
        return rows

    def _dispatch(self, batches: Sequence[Batch]) -> None:
        self._bell.ring(batches)
        ends_at = self._monotonic() + self._lease_seconds
        for batch in batches:
            queue = self._bell.queue(batch.kind)
            self._messages[queue] += 1
            lease = Lease(ends_at, queue, self._messages[queue], batch.attempts)
            self._leases.update(dict.fromkeys(batch.ids, lease))

    def _is_time_to_settle(self) -> bool:
        is_full = len(self._leases) > IN_FLIGHT_MAX // 2
        every = SETTLE_SECONDS_WHEN_FULL if is_full else SETTLE_SECONDS
        return bool(self._leases) and self._monotonic() - self._settled_at >= every

    def _settle(self, connection: Connection) -> None:
        """Forget the leases of rows that are gone or have failed; count an attempt for those that were tried and did
        neither."""
        self._settled_at = now = self._monotonic()
        present = outbox.present(connection, self._leases)
        self._leases = {row: lease for row, lease in self._leases.items() if present.get(row) == lease.attempts}
        overdue = {row: lease for row, lease in self._leases.items() if lease.ends_at <= now}
        if not overdue:
            return
        waiting = {queue: self._bell.waiting(queue) for queue in {lease.queue for lease in overdue.values()}}
        # Queues are first in, first out: the messages that wait are the last ones that were published.
        tried = [
            row for row, lease in overdue.items() if lease.message <= self._messages[lease.queue] - waiting[lease.queue]
        ]
        counted = _count_attempts(tried)
        for row, lease in overdue.items():
            if row in counted:
                del self._leases[row]
            else:  # Still queued, or locked by a worker that is busy with it.
                self._leases[row] = replace(lease, ends_at=now + self._lease_seconds)


def _count_attempts(ids: Sequence[int]) -> Collection[int]:
    failed = attempts.count(ids, LEASE_OVERRUN) if ids else []
    if failed:
        kinds = dict(Counter(row.kind for row in failed))
        orders = [str(row.order_id) for row in failed if row.order_id][: attempts.NAMED_MAX]
        log.warning("leases overrun", rows=len(failed), kinds=kinds, orders=orders, **attempts.origins_of(failed))
    return {row.id for row in failed}
