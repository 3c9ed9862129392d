"""A slice as rows: what COPY takes for each table, and what the slice does to the stock."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from uuid import UUID

from api.views.orders import AnswerRenderer
from models import idempotency
from models.acceptance import ROUTE
from models.identifiers import order_number
from models.lifecycle import FINAL, Actor, Policy, Status
from models.orders import Line, Order
from ops.seed import CATALOGUE, CURRENCY
from ops.seeding import rows
from ops.seeding.courses import COURSES, Holding
from ops.seeding.history import MICROSECONDS, History, calendar
from ops.seeding.making import RESELLERS, SeededOrder, customers

COLUMNS = {
    "orders": "status, version, currency, metadata, id, number, user_id, total_minor, placed_on, placed_at, updated_at,"
    " due_at, tracking_number, client_reference",
    "order_items": "sku, name, unit_price_minor, order_id, line, quantity, placed_at",
    "order_events": "version, from_status, to_status, actor, reason, currency, order_id, user_id, amount_minor,"
    " placed_on, at",
    "idempotency_keys": "route, status, user_id, key, fingerprint, body, order_id, expires_at",
    "outbox": "kind, order_id, expected_version",
}
_RENDER = AnswerRenderer()
_KEPT = idempotency.KEPT // timedelta(microseconds=1)


@dataclass(frozen=True)
class Slice:
    """`tables`: the rows of each, for COPY. `held`, `taken`: pieces by sku, reserved and gone from the house.

    `counted`: how many orders, lines and events there are.
    """

    tables: dict[str, bytearray] = field(default_factory=lambda: {name: bytearray() for name in COLUMNS})
    held: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Shape:
    """What all orders share that have come equally far on one course."""

    status: Status
    order: bytes
    events: Sequence[bytes]
    holding: Holding
    is_tracked: bool
    stays: int | None
    work: bytes | None


@dataclass(frozen=True)
class _Product:
    sku: str
    price_minor: int
    line: bytes


def rendered(history: History, made: Iterable[SeededOrder], policy: Policy) -> Slice:
    """The rows of these orders."""
    into, shapes, people, days = Slice(), _shapes(policy), customers(history), calendar(history)
    orders, items, events = (into.tables[name] for name in ("orders", "order_items", "order_events"))
    keys_begin = days.end - _KEPT
    for order in made:
        shape = shapes[order.course, len(order.times)]
        order_id, user_id = order.id.bytes, people[order.customer].id.bytes
        placed_on = days.days[order.day].toordinal() - rows.EPOCH_DAY
        placed_at, number = order.placed_at - rows.EPOCH, order_number(order.id)
        total_minor = sum(_PRODUCTS[product].price_minor * quantity for product, quantity in order.lines)
        orders += shape.order
        orders += rows.ORDER.pack(
            16, order_id, 11, number.encode(), 16, user_id, 8, total_minor, 4, placed_on, 8, placed_at,
            8, order.times[-1] - rows.EPOCH,
        )  # fmt: skip
        orders += rows.instant(None if shape.stays is None else order.times[-1] + shape.stays)
        orders += rows.text(f"PARCEL-{number}" if shape.is_tracked else None)
        orders += rows.text(f"PO-{number}" if order.customer < RESELLERS else None)
        for line, (product, quantity) in enumerate(order.lines, start=1):
            items += _PRODUCTS[product].line + rows.LINE.pack(16, order_id, 4, line, 4, quantity, 8, placed_at)
        facts = rows.FACTS.pack(16, order_id, 16, user_id, 8, total_minor, 4, placed_on)
        for event, at in zip(shape.events, order.times, strict=True):
            events += event + facts + rows.INSTANT.pack(8, at - rows.EPOCH)
        if shape.work:
            into.tables["outbox"] += shape.work + rows.ORDER_ID.pack(16, order_id) + rows.integer(len(order.times))
        if order.placed_at >= keys_begin:
            into.tables["idempotency_keys"] += _key(history, order, number, total_minor)
        _count(into, shape.holding, order)
    return into


def _count(into: Slice, holding: Holding, order: SeededOrder) -> None:
    into.counted.update(orders=1, lines=len(order.lines), events=len(order.times))
    if holding.reserved or holding.taken:
        counter = into.held if holding.reserved else into.taken
        for product, quantity in order.lines:
            counter[_PRODUCTS[product].sku] += quantity


@cache
def _shapes(policy: Policy) -> dict[tuple[int, int], _Shape]:
    """By place in COURSES and number of events."""
    return {
        (place, 1 + moves): _shape(place, moves, policy)
        for place, course in enumerate(COURSES)
        for moves in range(len(course.legs) + 1)
    }


def _shape(place: int, moves: int, policy: Policy) -> _Shape:
    legs = COURSES[place].legs[:moves]
    source, holding = Status.PENDING, Holding()
    events = [_event(1, None, Status.PENDING, Actor.OWNER, None)]
    for version, leg in enumerate(legs, start=2):
        events.append(_event(version, source, leg.target, leg.actor, leg.reason))
        source, holding = leg.target, holding.after(source, leg.target)
    deadline = None if source in FINAL else policy.deadline(source)
    follow_up = policy.follow_up(source)
    return _Shape(
        source,
        rows.prefix(14, rows.text(source), rows.integer(len(events)), rows.text(CURRENCY), rows.jsonb(b"{}")),
        events,
        holding,
        any(leg.target is Status.SHIPPED for leg in legs),
        None if deadline is None else deadline // timedelta(microseconds=1),
        rows.prefix(3, rows.text(follow_up.kind)) if follow_up else None,
    )


def _event(version: int, source: Status | None, target: Status, actor: Actor, reason: str | None) -> bytes:
    texts = map(rows.text, (source, target, actor, reason, CURRENCY))
    return rows.prefix(11, rows.integer(version), *texts)


_PRODUCTS = [
    _Product(sku, price, rows.prefix(7, rows.text(sku), rows.text(name), rows.bigint(price)))
    for sku, name, price in CATALOGUE
]


def _key(history: History, order: SeededOrder, number: str, total_minor: int) -> bytes:
    """The key an order was placed with, as long as keys are kept; its answer is spelled as the API would have."""
    owner = customers(history)[order.customer].id
    key = f"seed-{number}"
    return rows.prefix(
        8,
        rows.text(ROUTE),
        rows.integer(201),
        rows.field(owner.bytes),
        rows.text(key),
        rows.field(sha256(key.encode()).digest()),
        rows.field(_RENDER.order(_as_placed(history, order, owner, number, total_minor)).body),
        rows.field(order.id.bytes),
        rows.instant(order.placed_at + _KEPT),
    )


def _as_placed(history: History, order: SeededOrder, owner: UUID, number: str, total_minor: int) -> Order:
    placed_at = datetime.fromtimestamp(order.placed_at / MICROSECONDS, UTC)
    return Order(
        id=order.id,
        number=number,
        user_id=owner,
        status=Status.PENDING,
        version=1,
        currency=CURRENCY,
        total_minor=total_minor,
        client_reference=f"PO-{number}" if order.customer < RESELLERS else None,
        metadata={},
        tracking_number=None,
        placed_at=placed_at,
        placed_on=calendar(history).days[order.day],
        due_at=None,
        updated_at=placed_at,
        lines=tuple(
            Line(line, CATALOGUE[product][0], CATALOGUE[product][1], quantity, CATALOGUE[product][2])
            for line, (product, quantity) in enumerate(order.lines, start=1)
        ),
    )
