"""Transitions that somebody asked for. The API records the wish; a worker applies or refuses it, and says so here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Column, Connection, ForeignKey, Integer, Row, Table, Text, Uuid, insert, select, text

from models import audit_log, errors, outbox
from models.advance import OUT_OF_STOCK, Step, advance
from models.audit_log import NOBODY, EventName, Requester, SecurityEvent
from models.documents import dumps
from models.identifiers import uuid7
from models.identity.users import users
from models.lifecycle import BY_ENDS, Actor, Policy, Status, allowed_from
from models.metadata import Instant, created_at, enumeration, index, metadata, one_of
from models.orders import Order, orders
from models.orders import get as get_order

KIND = "orders.transition"
UNREASONED = errors.Flaw("/reason", "required", "This move needs a reason.")
UNSHIPPABLE = errors.Flaw("/tracking_number", "required", "A shipment needs its tracking number.")
UNTRACKED = errors.Flaw("/tracking_number", "not_for_this_move", "Only a shipment has a tracking number.")
# By their code, in which they are recorded: by a worker that came to the request, or by whoever buried its work. What
# else a worker records (there is no such move any more, or too little stock) is told by what the order may do now.
REFUSALS = {
    kind.code: kind
    for kind in (
        errors.StaleVersion,
        errors.ReasonRequired,
        errors.TrackingNumberRequired,
        errors.AttemptsExhausted,
    )
}


class RequestState(StrEnum):
    PENDING = "pending"
    APPLIED = "applied"
    REFUSED = "refused"


transition_requests = Table(
    "transition_requests",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, ForeignKey(orders.c.id), nullable=False),
    enumeration("to_status"),
    Column("reason", Text),
    Column("tracking_number", Text),
    enumeration("actor"),
    Column(
        "requested_by",
        Uuid,
        ForeignKey(users.c.id),
        comment="null: somebody at the command line, who needs no account",
    ),
    Column("expected_version", Integer, comment="from If-Match"),
    enumeration("state"),
    Column("refusal", Text, comment="the error code of a refused request"),
    Column("request_id", Text),
    created_at(),
    Column("resolved_at", Instant),
    one_of("to_status", Status),
    one_of("actor", Actor),
    one_of("state", RequestState),
    index("ix_transition_requests_order_id_id", "order_id", "id", serves="the worker: an order's requests in turn"),
    index(
        "ix_transition_requests_created_at",
        "created_at",
        postgresql_where=text("state = 'pending'"),
        serves="redispatch: requests that have waited for long",
    ),
)


@dataclass(frozen=True)
class TransitionRequest:
    id: UUID
    order_id: UUID
    to_status: Status
    reason: str | None
    tracking_number: str | None
    actor: Actor
    requested_by: UUID | None
    expected_version: int | None
    state: RequestState
    refusal: str | None
    request_id: str | None
    created_at: datetime
    resolved_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        known = {"to_status": Status(row.to_status), "actor": Actor(row.actor), "state": RequestState(row.state)}
        return cls(**{**row._mapping, **known})


@dataclass(frozen=True)
class Wish:
    """What is asked: the target, and what the move may need."""

    to: Status
    actor: Actor
    requested_by: UUID | None
    reason: str | None = None
    tracking_number: str | None = None
    expected_versions: frozenset[int] | None = None
    request_id: str | None = None
    traceparent: str | None = None
    by: Requester = NOBODY

    def expects(self, version: int) -> bool:
        return self.expected_versions is None or version in self.expected_versions


def check(order_status: Status, order_version: int, wish: Wish) -> None:
    """Whether the wish is legal for an order as it is now.

    Raises:
        errors.StaleVersion, errors.InvalidTransition, errors.ReasonRequired, errors.TrackingNumberRequired,
        errors.InvalidRequest: a tracking number for a move that has none
    """
    if not wish.expects(order_version):
        raise errors.StaleVersion
    move = BY_ENDS.get((order_status, wish.to))
    if move is None or wish.actor not in move.by:
        raise errors.InvalidTransition(order_status, allowed_from(order_status, wish.actor))
    if move.reason_required and not (wish.reason or "").strip():
        raise errors.ReasonRequired(flaws=[UNREASONED])
    if move.tracking_required and not (wish.tracking_number or "").strip():
        raise errors.TrackingNumberRequired(flaws=[UNSHIPPABLE])
    if wish.tracking_number and not move.tracking_required:
        raise errors.InvalidRequest(flaws=[UNTRACKED])


def ask(
    connection: Connection, order_id: UUID, owner: UUID | None, wish: Wish
) -> tuple[Order, TransitionRequest | None]:
    """Record a wish that is legal now, and the work of fulfilling it; None where the order is there already.

    Raises:
        errors.NotFound: no such order, or (with `owner`) not theirs.
        errors.OrderPipelineError: what `check` raises.
    """
    order = get_order(connection, order_id, owner)
    if order.status is wish.to and wish.expects(order.version):
        return order, None
    check(order.status, order.version, wish)
    values = {
        "id": uuid7(),
        "order_id": order.id,
        "to_status": wish.to,
        "reason": wish.reason,
        "tracking_number": wish.tracking_number,
        "actor": wish.actor,
        "requested_by": wish.requested_by,
        "expected_version": None if wish.expected_versions is None else order.version,
        "state": RequestState.PENDING,
        "request_id": wish.request_id,
    }
    row = connection.execute(insert(transition_requests).values(values).returning(transition_requests)).one()
    outbox.put(connection, KIND, order.id, order.version, wish.request_id, wish.traceparent)
    if wish.actor is Actor.STAFF:  # Power over what is others': that is for the audit log too (S25).
        facts = {"order_id": str(order.id), "to": wish.to, "transition_id": str(row.id)}
        audit_log.record(connection, SecurityEvent(EventName.TRANSITION_ASKED, wish.by, order.user_id, facts))
    return order, TransitionRequest.of(row)


def get(connection: Connection, order_id: UUID, request_id: UUID) -> TransitionRequest:
    query = select(transition_requests).where(
        transition_requests.c.id == request_id, transition_requests.c.order_id == order_id
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise errors.NotFound
    return TransitionRequest.of(row)


def refusal(request: TransitionRequest, order: Order) -> errors.OrderPipelineError:
    """Why a refused request was refused, where it can be in the words in which it would have been refused at once."""
    if request.refusal in REFUSALS:
        return REFUSALS[request.refusal]()
    return errors.InvalidTransition(order.status, allowed_from(order.status, request.actor))


_RESOLVE = text(
    """
    UPDATE transition_requests AS r SET state = answer.state, refusal = answer.refusal, resolved_at = now()
    FROM jsonb_to_recordset(CAST(:answers AS jsonb)) AS answer(id uuid, state text, refusal text)
    WHERE r.id = answer.id AND r.state = 'pending'
    """
)


def settle(connection: Connection, order_ids: Collection[UUID], policy: Policy) -> int:
    """Apply or refuse the oldest open request of each of these orders; returns how many were applied.

    Orders with more requests get more work: several moves of an order in one transaction would lock products out of
    their order.
    """
    waiting = _open(connection, order_ids)
    for order_id, requests in waiting.items():
        if len(requests) > 1:
            outbox.put(connection, KIND, order_id, request_id=requests[1].request_id)
    return _settle_turn(connection, [requests[0] for requests in waiting.values()], policy) if waiting else 0


def _open(connection: Connection, order_ids: Collection[UUID]) -> Mapping[UUID, list[TransitionRequest]]:
    query = (
        select(transition_requests)
        .where(transition_requests.c.order_id.in_(list(order_ids)), transition_requests.c.state == RequestState.PENDING)
        .order_by(transition_requests.c.order_id, transition_requests.c.id)
        .with_for_update(skip_locked=True)
    )
    found: dict[UUID, list[TransitionRequest]] = {}
    for row in connection.execute(query):
        found.setdefault(row.order_id, []).append(TransitionRequest.of(row))
    return found


def _settle_turn(connection: Connection, requests: Sequence[TransitionRequest], policy: Policy) -> int:
    """Settle one request for each of several orders."""
    seen = _as_they_are(connection, [request.order_id for request in requests])
    refusals: dict[UUID, str] = {}
    steps: dict[UUID, Step] = {}
    for request in requests:
        status, version = seen[request.order_id]
        if status is request.to_status and request.expected_version in (None, version):
            continue  # It is there already: somebody else's request, or this one's twin, has been applied.
        try:
            check(status, version, _wish(request))
        except errors.OrderPipelineError as error:
            refusals[request.order_id] = error.code
        else:
            steps[request.order_id] = _step(request, status, version)
    reached = {step.order_id: step.target for step in advance(connection, list(steps.values()), policy)}
    for order_id, step in steps.items():
        if reached.get(order_id) is not step.target:
            refusals[order_id] = OUT_OF_STOCK if order_id in reached else errors.StaleVersion.code
    answers = [_answer(request, refusals.get(request.order_id)) for request in requests]
    connection.execute(_RESOLVE, {"answers": dumps(answers)})
    return len(requests) - len(refusals)


def _as_they_are(connection: Connection, order_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Status, int]]:
    """Status and version of these orders, whose rows stay locked: what is decided on them holds."""
    query = (
        select(orders.c.id, orders.c.status, orders.c.version)
        .where(orders.c.id.in_(order_ids))
        .order_by(orders.c.id)
        .with_for_update(key_share=True)
    )
    return {row.id: (Status(row.status), row.version) for row in connection.execute(query)}


def _wish(request: TransitionRequest) -> Wish:
    return Wish(
        to=request.to_status,
        actor=request.actor,
        requested_by=request.requested_by,
        reason=request.reason,
        tracking_number=request.tracking_number,
        expected_versions=None if request.expected_version is None else frozenset({request.expected_version}),
    )


def _step(request: TransitionRequest, status: Status, version: int) -> Step:
    return Step(
        order_id=request.order_id,
        version=version,
        source=status,
        target=request.to_status,
        actor=request.actor,
        reason=request.reason,
        tracking_number=request.tracking_number,
        request_id=request.request_id,
    )


def _answer(request: TransitionRequest, refusal: str | None) -> dict[str, object]:
    state = RequestState.REFUSED if refusal else RequestState.APPLIED
    return {"id": request.id, "state": state, "refusal": refusal}
