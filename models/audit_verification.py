"""Whether the audit log is still what was recorded: every event against its seal, in one snapshot.

What is found is named by its place in the chain and by its event. Nothing is mended: that would destroy the evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, Interval, bindparam, select, text

from models.audit_chain import BEGINNING, Head, Sealer, audit_seals
from models.audit_log import Entry
from runtime.settings import Settings

SEALS_PER_PAGE = 5_000
NAMED_MAX = 100
# Sealing is asked for every few seconds: what waits longer is kept from it, or the pipeline stands still.
SEALED_WITHIN = timedelta(minutes=10)


class Fault(StrEnum):
    ALTERED = "altered"
    REORDERED = "reordered"
    MISSING = "missing"
    SEAL_MISSING = "seal missing"
    OTHER_KEY = "other key"
    NOT_THE_NOTED_HEAD = "not the noted head"
    CUT_OFF = "cut off"
    NEVER_SEALED = "never sealed"
    NOT_SEALED_IN_TIME = "not sealed in time"


MEANING = {
    Fault.ALTERED: "the event, its seal or its place is not what was sealed",
    Fault.REORDERED: "the event stands where another one was sealed",
    Fault.MISSING: "the event is sealed, or waits for it, and its row is gone",
    Fault.SEAL_MISSING: "there is no seal at this place, though there are later ones",
    Fault.OTHER_KEY: "sealed under another SECRET_KEY: verify it with that one, or begin behind it with --from",
    Fault.NOT_THE_NOTED_HEAD: "the chain up to here is not the one that was noted",
    Fault.CUT_OFF: "the chain was longer when its head was noted",
    Fault.NEVER_SEALED: "the event was kept from being sealed",
    Fault.NOT_SEALED_IN_TIME: "the event waits for its seal: nothing seals, or somebody recorded it by hand",
}


@dataclass(frozen=True)
class Finding:
    fault: Fault
    position: int | None
    event_id: UUID | None


@dataclass
class Verdict:
    """What verification came to. `findings` names the first hundred; `faults` counts all."""

    events: int = 0
    waiting: int = 0
    faults: int = 0
    head: Head = field(default=Head(0, BEGINNING))
    findings: list[Finding] = field(default_factory=list)

    def add(self, fault: Fault, position: int | None, event_id: UUID | None = None) -> None:
        self.faults += 1
        if len(self.findings) < NAMED_MAX:
            self.findings.append(Finding(fault, position, event_id))


@dataclass(frozen=True)
class _Seal:
    """A seal as it stands, and the event it stands for, if that is there."""

    head: Head
    event_id: UUID
    key_id: str
    event: Entry | None


_PAGE = text(
    """
    SELECT s.position, s.hash, s.event_id, s.key_id, l.id, l.at, l.event, l.user_id, l.actor, l.client_address,
        l.request_id, l.facts
    FROM audit_seals AS s LEFT JOIN audit_log AS l ON l.id = s.event_id
    WHERE s.position > :after ORDER BY s.position LIMIT :limit
    """
)

# Each event is in the chain or waits to be, from the moment it is committed.
_NEVER_SEALED = text(
    """
    SELECT id FROM audit_log AS l
    WHERE NOT EXISTS (SELECT FROM audit_seals WHERE event_id = l.id)
      AND NOT EXISTS (SELECT FROM audit_unsealed WHERE event_id = l.id)
    ORDER BY id
    """
)

_WAITING = text(
    """
    SELECT u.event_id, l.id IS NOT NULL AS is_there, l.at < now() - :at_most AS is_late
    FROM audit_unsealed AS u LEFT JOIN audit_log AS l ON l.id = u.event_id ORDER BY u.event_id
    """
).bindparams(bindparam("at_most", type_=Interval))


def verify(connection: Connection, settings: Settings, noted: Head | None = None) -> Verdict:
    """Examine the whole chain, or what comes after a head that was noted earlier.

    The connection's snapshot has to hold for all statements (`models.invariants.in_one_snapshot`).
    """
    # The time limits and plans of a worker's batch are not meant for reading whole tables.
    connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on"))
    verdict = Verdict()
    if noted is not None:
        _compare(connection, noted, verdict)
    _walk(connection, Sealer.of(settings), noted or verdict.head, verdict)
    for event_id in connection.execute(_NEVER_SEALED).scalars():
        verdict.add(Fault.NEVER_SEALED, None, event_id)
    for waiting in connection.execute(_WAITING, {"at_most": SEALED_WITHIN}):
        verdict.waiting += 1
        if not waiting.is_there:
            verdict.add(Fault.MISSING, None, waiting.event_id)
        elif waiting.is_late:
            verdict.add(Fault.NOT_SEALED_IN_TIME, None, waiting.event_id)
    return verdict


def _compare(connection: Connection, noted: Head, verdict: Verdict) -> None:
    """The noted head must be where it was. Where older events were put away, later seals take its place."""
    later = select(audit_seals.c.position, audit_seals.c.hash).where(audit_seals.c.position >= noted.position)
    found = connection.execute(later.order_by(audit_seals.c.position).limit(1)).one_or_none()
    if found is None:
        verdict.add(Fault.CUT_OFF, noted.position)
    elif found.position == noted.position and found.hash != noted.hash:
        verdict.add(Fault.NOT_THE_NOTED_HEAD, noted.position)


def _walk(connection: Connection, sealer: Sealer, begin: Head, verdict: Verdict) -> None:
    misfits: list[tuple[Head, _Seal, Entry]] = []
    last = begin
    for seal in _seals(connection, begin.position):
        verdict.events += 1
        if seal.head.position != last.position + 1:
            # What was sealed next cannot be checked without the seal before it; what follows can.
            verdict.add(Fault.SEAL_MISSING, last.position + 1)
        elif seal.event is None:
            verdict.add(Fault.MISSING, seal.head.position, seal.event_id)
        elif seal.key_id != sealer.key_id:
            verdict.add(Fault.OTHER_KEY, seal.head.position, seal.event_id)
        elif sealer.after(last, seal.event) != seal.head:
            misfits.append((last, seal, seal.event))
        last = seal.head
    _tell_apart(sealer, misfits, verdict)
    verdict.head = last


def _tell_apart(sealer: Sealer, misfits: list[tuple[Head, _Seal, Entry]], verdict: Verdict) -> None:
    """Events that fit into each other's places were exchanged; the others were altered."""
    events = [event for _, _, event in misfits[:NAMED_MAX]]
    for before, seal, _ in misfits:
        was_exchanged = any(sealer.after(before, event) == seal.head for event in events)
        verdict.add(Fault.REORDERED if was_exchanged else Fault.ALTERED, seal.head.position, seal.event_id)


def _seals(connection: Connection, after: int) -> Iterator[_Seal]:
    while page := connection.execute(_PAGE, {"after": after, "limit": SEALS_PER_PAGE}).all():
        for position, digest, event_id, key_id, *event in page:
            yield _Seal(Head(position, digest), event_id, key_id, Entry(*event) if event[0] else None)
        after = page[-1].position
