"""The life of an order, as data: who may move it from where to where, and what that does to the stock.

Everything else is derived from these tables: the database's copy (`legal_moves`), the OpenAPI enumerations, the
diagram in the README, and the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Self

from sqlalchemy import Column, Table, Text

from models.metadata import metadata
from runtime.settings import Confirmation, Settings


class Status(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class Actor(StrEnum):
    """In which capacity somebody moves an order."""

    OWNER = "owner"
    STAFF = "staff"
    SYSTEM = "system"


class StockEffect(StrEnum):
    NONE = "none"
    RESERVE = "reserve"
    RELEASE = "release"
    TAKE = "take"


@dataclass(frozen=True)
class Move:
    source: Status
    target: Status
    by: frozenset[Actor]
    stock: StockEffect = StockEffect.NONE
    reason_required: bool = False
    tracking_required: bool = False


def _move(source: Status, target: Status, *by: Actor, **more: object) -> Move:
    return Move(source, target, frozenset(by), **more)  # type: ignore[arg-type]


_S, _A, _E = Status, Actor, StockEffect

MOVES: tuple[Move, ...] = (
    _move(_S.PENDING, _S.CONFIRMED, _A.SYSTEM, _A.STAFF, stock=_E.RESERVE),
    _move(_S.PENDING, _S.CANCELLED, _A.SYSTEM, _A.OWNER, _A.STAFF),
    _move(_S.PENDING, _S.EXPIRED, _A.SYSTEM),
    _move(_S.PENDING, _S.FAILED, _A.SYSTEM),
    _move(_S.CONFIRMED, _S.PROCESSING, _A.SYSTEM),
    _move(_S.CONFIRMED, _S.CANCELLED, _A.OWNER, _A.STAFF, stock=_E.RELEASE),
    _move(_S.CONFIRMED, _S.FAILED, _A.SYSTEM, stock=_E.RELEASE),
    _move(_S.PROCESSING, _S.SHIPPED, _A.SYSTEM, _A.STAFF, stock=_E.TAKE, tracking_required=True),
    _move(_S.PROCESSING, _S.CANCELLED, _A.STAFF, stock=_E.RELEASE, reason_required=True),
    _move(_S.PROCESSING, _S.FAILED, _A.SYSTEM, stock=_E.RELEASE),
    _move(_S.SHIPPED, _S.DELIVERED, _A.SYSTEM, _A.STAFF),
    _move(_S.FAILED, _S.PENDING, _A.STAFF, reason_required=True),
)

BY_ENDS: Mapping[tuple[Status, Status], Move] = {(move.source, move.target): move for move in MOVES}
FINAL = frozenset({Status.DELIVERED, Status.CANCELLED, Status.EXPIRED})
# Revenue is the total of the orders in these states, by the day they were placed.
REVENUE = frozenset({Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED})
# An order in one of these holds a reservation: there is something to release or to take when it leaves.
HOLDING = frozenset(move.source for move in MOVES if move.stock in {StockEffect.RELEASE, StockEffect.TAKE})

# An order that stays longer than this is listed as stuck. Pending is not here: it depends on the policy.
DEADLINES: Mapping[Status, timedelta] = {
    Status.CONFIRMED: timedelta(minutes=5),
    Status.PROCESSING: timedelta(hours=48),
    Status.SHIPPED: timedelta(days=14),
    Status.FAILED: timedelta(hours=24),
}
AUTOMATIC_PENDING_DEADLINE = timedelta(minutes=5)

# The database refuses an event whose move is not in here (foreign key of `order_events`).
legal_moves = Table(
    "legal_moves",
    metadata,
    Column("from_status", Text, primary_key=True),
    Column("to_status", Text, primary_key=True),
    comment="the database's copy of MOVES in models/lifecycle.py",
)


@dataclass(frozen=True)
class FollowUp:
    """The work that a status asks for by itself: a kind of outbox row, and how long it waits."""

    kind: str
    delay: timedelta = timedelta(0)


@dataclass(frozen=True)
class Policy:
    """What this deployment lets the pipeline do without being asked."""

    confirmation: Confirmation = Confirmation.AUTOMATIC
    autopilot: bool = False
    dwell: timedelta = timedelta(0)
    pending_ttl: timedelta = timedelta(hours=24)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.confirmation, settings.autopilot, settings.autopilot_dwell, settings.pending_ttl)

    def follow_up(self, status: Status) -> FollowUp | None:
        """The next step an order takes on its own from `status`, if this deployment has one."""
        if status is Status.PENDING and self.confirmation is Confirmation.AUTOMATIC:
            return FollowUp("orders.confirm")
        if status is Status.CONFIRMED:
            return FollowUp("orders.process")
        if self.autopilot and status is Status.PROCESSING:
            return FollowUp("orders.ship", self.dwell)
        if self.autopilot and status is Status.SHIPPED:
            return FollowUp("orders.deliver", self.dwell)
        return None

    def deadline(self, status: Status) -> timedelta | None:
        """How long an order may stay in `status`; None where it may stay for ever."""
        if status is Status.PENDING:
            return self.pending_ttl if self.confirmation is Confirmation.MANUAL else AUTOMATIC_PENDING_DEADLINE
        return DEADLINES.get(status)


def allowed_from(status: Status, actor: Actor) -> tuple[Status, ...]:
    """Where `actor` may move an order that is in `status`, in the order of MOVES."""
    return tuple(move.target for move in MOVES if move.source is status and actor in move.by)
