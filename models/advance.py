"""How orders move: one compare-and-set for a whole batch, writing each move's event and the work that follows from it.

A step names the version and status it was decided on. Where the order has moved on meanwhile, the step does nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection, Integer, Text, Uuid, text

from models import stock
from models.documents import dumps
from models.lifecycle import BY_ENDS, Actor, Policy, Status, StockEffect

OUT_OF_STOCK = "out_of_stock"


Seen = tuple[UUID, int, str]


@dataclass(frozen=True)
class Step:
    """One order's move from what it was seen as to what it shall be."""

    order_id: UUID
    version: int
    source: Status
    target: Status
    actor: Actor = Actor.SYSTEM
    reason: str | None = None
    tracking_number: str | None = None
    request_id: str | None = None
    traceparent: str | None = None

    @property
    def seen(self) -> Seen:
        """The order as it has to be for the step to happen."""
        return (self.order_id, self.version, self.source)

    @property
    def stock_effect(self) -> StockEffect:
        return BY_ENDS[self.source, self.target].stock


# In id order, so that two batches cannot deadlock. NO KEY: whoever writes a row that refers to the order (a wish for a
# transition) need not wait for this batch to end.
_LOCK = text(
    """
    SELECT orders.id, orders.version, orders.status
    FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS step(order_id uuid, version int, source text)
    JOIN orders ON orders.id = step.order_id AND orders.version = step.version AND orders.status = step.source
    ORDER BY orders.id FOR NO KEY UPDATE OF orders
    """
).columns(id=Uuid, version=Integer, status=Text)

# Locks as _LOCK does, and moves what it has locked. The time of a move is that of the clock, once the order is locked:
# a later version has a later time. Transaction and statement began before they had to wait for the lock.
_MOVE = text(
    """
    WITH step AS (
        SELECT * FROM jsonb_to_recordset(CAST(:steps AS jsonb)) AS s(
            place int, order_id uuid, version int, source text, target text, actor text, reason text,
            tracking_number text, request_id text, traceparent text, stays interval, follow_up text,
            follow_up_in interval)
    ), locked AS (
        SELECT orders.id FROM step
        JOIN orders ON orders.id = step.order_id AND orders.version = step.version AND orders.status = step.source
        ORDER BY orders.id FOR NO KEY UPDATE OF orders
    ), moved AS (
        UPDATE orders SET
            status = step.target, version = orders.version + 1, updated_at = clock_timestamp(),
            due_at = clock_timestamp() + step.stays,
            tracking_number = coalesce(step.tracking_number, orders.tracking_number)
        FROM step JOIN locked ON locked.id = step.order_id
        WHERE orders.id = locked.id AND orders.version = step.version AND orders.status = step.source
        RETURNING orders.id, orders.version, orders.total_minor, orders.currency, orders.user_id, orders.placed_on,
            orders.updated_at, step.place, step.source, step.target, step.actor, step.reason, step.request_id,
            step.traceparent, step.follow_up, step.follow_up_in
    ), recorded AS (
        INSERT INTO order_events (order_id, version, from_status, to_status, actor, reason, request_id,
            amount_minor, currency, user_id, placed_on, at)
        SELECT id, version, source, target, actor, reason, request_id, total_minor, currency, user_id, placed_on,
            updated_at
        FROM moved
    ), queued AS (
        INSERT INTO outbox (kind, order_id, expected_version, request_id, traceparent, available_at)
        SELECT follow_up, id, version, request_id, traceparent, now() + follow_up_in FROM moved
        WHERE follow_up IS NOT NULL
    )
    SELECT array_agg(place ORDER BY place) FROM moved
    """
)


def advance(connection: Connection, steps: Sequence[Step], policy: Policy) -> list[Step]:
    """Move orders, with their stock; returns the steps that happened, which may be other ones than were asked for.

    A step whose order is not in the named version and status any more does not happen. A confirmation for which stock
    is short becomes a cancellation by the system, reason `out_of_stock`.

    Raises:
        KeyError: a step is not in the lifecycle's table of moves.
    """
    due = _each_once(steps)
    if any(step.stock_effect is StockEffect.RESERVE for step in due):
        due = _reserve(connection, _lock(connection, due))
    if not due:
        return []
    documents = [_document(place, step, policy) for place, step in enumerate(due)]
    moved = connection.execute(_MOVE, {"steps": dumps(documents)}).scalar_one()
    happened = [due[place] for place in moved or ()]
    stock_released = _orders_with(happened, StockEffect.RELEASE)
    stock_taken = _orders_with(happened, StockEffect.TAKE)
    if stock_released:
        stock.release(connection, stock_released)
    if stock_taken:
        stock.take(connection, stock_taken)
    return happened


def _each_once(steps: Iterable[Step]) -> list[Step]:
    """The steps without those that another one decided on the same order as it was: work may be dispatched twice."""
    firsts: dict[Seen, Step] = {}
    for step in steps:
        firsts.setdefault(step.seen, step)
    return list(firsts.values())


def _lock(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps that still apply, whose orders stay locked: what is decided for them holds."""
    guards = [{"order_id": step.order_id, "version": step.version, "source": str(step.source)} for step in steps]
    rows = connection.execute(_LOCK, {"steps": dumps(guards)})
    locked = {(order_id, version, status) for order_id, version, status in rows}
    return [step for step in steps if step.seen in locked]


def _reserve(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The same steps, with cancellations in place of the confirmations that stock does not suffice for."""
    wanted = _orders_with(steps, StockEffect.RESERVE)
    short = set(wanted) - stock.reserve(connection, wanted)
    return [_cancelled(step) if step.order_id in short else step for step in steps]


def _cancelled(step: Step) -> Step:
    return replace(step, target=Status.CANCELLED, actor=Actor.SYSTEM, reason=OUT_OF_STOCK)


def _orders_with(steps: Iterable[Step], effect: StockEffect) -> list[UUID]:
    return [step.order_id for step in steps if step.stock_effect is effect]


def _document(place: int, step: Step, policy: Policy) -> dict[str, object]:
    """The step as _MOVE reads it; `place` is how it is told that it happened."""
    follow_up = policy.follow_up(step.target)
    return {
        "place": place,
        "order_id": step.order_id,
        "version": step.version,
        # As plain text: a member of an enumeration takes pydantic ten times as long.
        "source": str(step.source),
        "target": str(step.target),
        "actor": str(step.actor),
        "reason": step.reason,
        "tracking_number": step.tracking_number,
        "request_id": step.request_id,
        "traceparent": step.traceparent,
        "stays": policy.deadline(step.target),
        "follow_up": follow_up.kind if follow_up else None,
        "follow_up_in": follow_up.delay if follow_up else None,
    }
