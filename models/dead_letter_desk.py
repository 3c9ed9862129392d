"""What a person does about a dead letter: replay it or discard it, with their name on it, and once.

A letter is resolved by a compare-and-set on `resolved_at IS NULL`, in one transaction with what is queued for it. Who
comes second is told what the first one did. Nothing is moved here: what is queued names the version of the order that
it was decided on, so that a worker does nothing where the order has moved on meanwhile.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from models import audit_log, dead_letters, errors, outbox, transition_requests
from models.audit_log import EventName, Requester, SecurityEvent
from models.dead_letters import Letter, Origin, Resolution
from models.lifecycle import Actor, Policy, Status
from models.orders import orders
from models.transition_requests import Wish

_letters = dead_letters.dead_letters


@dataclass(frozen=True)
class Resolver:
    """Who resolves: the name that the letter keeps, their account if they have one, and the request they sent."""

    name: str
    user_id: UUID | None = None
    request_id: str | None = None
    client_address: str | None = None

    @property
    def requester(self) -> Requester:
        return Requester(self.name, self.client_address, self.request_id)


@dataclass(frozen=True)
class Plan:
    """What a replay amounts to, and the version of the order on which that was decided."""

    how: Resolution
    version: int | None = None


def plan(connection: Connection, letter: Letter, policy: Policy) -> Plan:
    """What a replay would do now.

    A failed order is asked back to pending, whatever its letter was about. A tick is queued again. So is the work of an
    order, if the order's status still asks for it or the order has not moved since. A transition that was asked for is
    not: it was refused when the letter was written, whoever asked has been told so, and it stays refused.

    Raises:
        errors.NothingToReplay: the letter is that of a message; no work stood behind it.
    """
    if letter.origin is Origin.MESSAGE:
        raise errors.NothingToReplay
    if letter.order_id is None:
        return Plan(Resolution.REPLAYED)
    query = select(orders.c.status, orders.c.version).where(orders.c.id == letter.order_id)
    order = connection.execute(query).one_or_none()
    if order is None:
        return Plan(Resolution.MOOT)
    if order.status == Status.FAILED:
        return Plan(Resolution.RETRIED, order.version)
    follow_up = policy.follow_up(Status(order.status))
    is_asked_for = follow_up is not None and follow_up.kind == letter.kind
    has_stayed = order.version == letter.expected_version and letter.kind != transition_requests.KIND
    return Plan(Resolution.REPLAYED if is_asked_for or has_stayed else Resolution.MOOT, order.version)


def foresee(connection: Connection, letter: Letter, policy: Policy) -> Resolution:
    """What `replay` would answer now.

    Raises:
        errors.NothingToReplay
        errors.LetterResolved: it was discarded.
    """
    if letter.resolved_how is Resolution.DISCARDED:
        raise errors.LetterResolved(letter.resolved_how)
    return letter.resolved_how or plan(connection, letter, policy).how


def replay(connection: Connection, letter_id: int, by: Resolver, policy: Policy, reason: str | None = None) -> Letter:
    """Have the work of a letter done after all; the same answer, and nothing more, to who asks again.

    Raises:
        errors.NotFound, errors.NothingToReplay
        errors.LetterResolved: it was discarded.
        errors.InvalidTransition, errors.StaleVersion: its order is being moved by somebody else at this moment.
    """
    letter = dead_letters.get(connection, letter_id)
    if letter.resolved_how is None:
        planned = plan(connection, letter, policy)
        resolved = _resolve(connection, letter_id, by, planned.how, reason)
        if resolved is not None:
            _queue(connection, resolved, planned, by)
            return resolved
        letter = dead_letters.get(connection, letter_id)
    if letter.resolved_how is Resolution.DISCARDED:
        raise errors.LetterResolved(letter.resolved_how)
    return letter


def discard(connection: Connection, letter_id: int, by: Resolver, reason: str) -> Letter:
    """Put a letter away; its work will not be done, and a failed order stays failed.

    Raises:
        errors.NotFound
        errors.LetterResolved: it was replayed.
    """
    resolved = _resolve(connection, letter_id, by, Resolution.DISCARDED, reason)
    letter = resolved or dead_letters.get(connection, letter_id)
    if letter.resolved_how is not Resolution.DISCARDED:
        assert letter.resolved_how is not None, "it was resolved, or the compare-and-set would have won"
        raise errors.LetterResolved(letter.resolved_how)
    return letter


def _resolve(
    connection: Connection, letter_id: int, by: Resolver, how: Resolution, reason: str | None
) -> Letter | None:
    """The letter, if it was us who resolved it; that is recorded."""
    statement = (
        update(_letters)
        .where(_letters.c.id == letter_id, _letters.c.resolved_at.is_(None))
        .values(resolved_at=func.now(), resolved_by=by.name, resolved_how=how, resolved_because=reason)
        .returning(_letters)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    name = EventName.LETTER_DISCARDED if how is Resolution.DISCARDED else EventName.LETTER_REPLAYED
    facts = {"letter": letter_id, "kind": row.kind, "how": how}
    audit_log.record(connection, SecurityEvent(name, by.requester, facts=facts))
    return Letter.of(row)


def _queue(connection: Connection, letter: Letter, planned: Plan, by: Resolver) -> None:
    if planned.how is Resolution.REPLAYED:
        # A tick that waits already will do.
        outbox.put(connection, letter.kind, letter.order_id, planned.version, letter.request_id)
    elif planned.how is Resolution.RETRIED:
        assert letter.order_id is not None and planned.version is not None
        wish = Wish(
            to=Status.PENDING,
            actor=Actor.STAFF,
            requested_by=by.user_id,
            reason=letter.resolved_because or f"dead letter {letter.id} was replayed",
            expected_versions=frozenset({planned.version}),
            request_id=by.request_id or letter.request_id,
            by=by.requester,
        )
        transition_requests.ask(connection, letter.order_id, None, wish)
