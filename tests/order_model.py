"""What should become of orders, in plain dictionaries: written by hand from the design, without the product's code.

The stock is not followed move by move, as the product does, but follows from where every order is; the aggregates are
counted from the orders each time. Where the two agree after any sequence of events, neither has drifted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from uuid import UUID

EVERYBODY = {"system", "owner", "staff"}
# status → where it may go → in which capacity.
MOVES: Mapping[str, Mapping[str, set[str]]] = {
    "pending": {
        "confirmed": {"system", "staff"},
        "cancelled": EVERYBODY,
        "expired": {"system"},
        "failed": {"system"},
    },
    "confirmed": {"processing": {"system"}, "cancelled": {"owner", "staff"}, "failed": {"system"}},
    "processing": {"shipped": {"system", "staff"}, "cancelled": {"staff"}, "failed": {"system"}},
    "shipped": {"delivered": {"system", "staff"}},
    "failed": {"pending": {"staff"}},
    "delivered": {},
    "cancelled": {},
    "expired": {},
}
NEEDS_REASON = {("processing", "cancelled"), ("failed", "pending")}
NEEDS_TRACKING = {("processing", "shipped")}
RESERVED = {"confirmed", "processing"}
GONE = {"shipped", "delivered"}
ENDS: Mapping[str, tuple[str, str]] = {
    "orders.confirm": ("pending", "confirmed"),
    "orders.process": ("confirmed", "processing"),
    "orders.ship": ("processing", "shipped"),
    "orders.deliver": ("shipped", "delivered"),
}
ATTEMPTS_MAX = 8


@dataclass(frozen=True)
class Work:
    """What one row of the outbox asks for."""

    kind: str
    order_id: UUID
    version: int | None
    attempts: int = 0


@dataclass
class ModelOrder:
    user: UUID
    day: str
    currency: str
    total: int
    lines: Mapping[str, int]
    journey: list[str] = field(default_factory=lambda: ["pending"])
    overdue: bool = False

    @property
    def status(self) -> str:
        return self.journey[-1]

    @property
    def version(self) -> int:
        return len(self.journey)


@dataclass
class ModelWish:
    """A transition that somebody asked for; `outcome` is "pending", "applied", or why it was refused."""

    order_id: UUID
    to: str
    actor: str
    reason: str | None
    tracking: str | None
    version: int | None
    outcome: str = "pending"


@dataclass
class Model:
    automatic: bool
    autopilot: bool
    stocked: Mapping[str, int]
    orders: dict[UUID, ModelOrder] = field(default_factory=dict)
    wishes: dict[UUID, ModelWish] = field(default_factory=dict)
    work: Counter[Work] = field(default_factory=Counter)
    dead: set[Work] = field(default_factory=set)

    def needs(self, order_id: UUID) -> Work | None:
        """The automatic work an order needs as it is now."""
        order = self.orders[order_id]
        kinds = {"confirmed": "orders.process"}
        if self.automatic:
            kinds["pending"] = "orders.confirm"
        if self.autopilot:
            kinds |= {"processing": "orders.ship", "shipped": "orders.deliver"}
        return Work(kinds[order.status], order_id, order.version) if order.status in kinds else None

    def place(self, order_id: UUID, order: ModelOrder) -> None:
        assert order_id not in self.orders
        self.orders[order_id] = order
        self._follow_up(order_id)

    def stock(self) -> dict[str, tuple[int, int]]:
        """sku → on hand, reserved"""
        reserved, gone = self._pieces(RESERVED), self._pieces(GONE)
        return {sku: (initial - gone[sku], reserved[sku]) for sku, initial in self.stocked.items()}

    def ask(self, wish: ModelWish) -> str:
        """ "already", "recorded", or the code of the refusal"""
        refusal = self._refusal(wish)
        if refusal is None:
            self.work[Work("orders.transition", wish.order_id, self.orders[wish.order_id].version)] += 1
        return refusal or "recorded"

    def deliver(self, kind: str, rows: Iterable[Work]) -> None:
        """A worker does these rows, in one transaction that commits."""
        rows = list(rows)
        self.work -= Counter(rows)
        if kind == "orders.transition":
            self._settle({row.order_id for row in rows})
        else:
            source, target = ENDS[kind]
            seen = {row.order_id for row in rows if self._is_at(row.order_id, row.version, source)}
            self._advance(dict.fromkeys(seen, target), "system")

    def deliver_poisoned(self, row: Work) -> None:
        """A worker tries this row, and the database refuses to let the order move."""
        would = deepcopy(self)
        would.deliver(row.kind, [row])
        if would.orders == self.orders:
            self.deliver(row.kind, [row])
            return
        self.work -= Counter([row])
        tried = Work(row.kind, row.order_id, row.version, row.attempts + 1)
        if tried.attempts < ATTEMPTS_MAX:
            self.work[tried] += 1
        else:
            self.dead.add(Work(row.kind, row.order_id, row.version))
            if row.kind == "orders.transition":
                for wish in self.wishes.values():
                    if wish.order_id == row.order_id and wish.outcome == "pending":
                        wish.outcome = "attempts_exhausted"
            if "failed" in MOVES[self.orders[row.order_id].status]:
                self._move(row.order_id, "failed", "system")

    def expire(self) -> None:
        if not self.automatic:
            overdue = [order_id for order_id, order in self.orders.items() if order.overdue]
            self._advance({each: "expired" for each in overdue if self.orders[each].status == "pending"}, "system")

    def per_day(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(day, currency, status) → orders, amount"""
        found: dict[tuple[str, str, str], tuple[int, int]] = {}
        for order in self.orders.values():
            place = (order.day, order.currency, order.status)
            count, amount = found.get(place, (0, 0))
            found[place] = (count + 1, amount + order.total)
        return found

    def revenue_per_user(self) -> dict[tuple[str, UUID, str], tuple[int, int]]:
        """(day, user, currency) → orders, revenue"""
        found: dict[tuple[str, UUID, str], tuple[int, int]] = {}
        for order in self.orders.values():
            if order.status in RESERVED | GONE:
                place = (order.day, order.user, order.currency)
                count, amount = found.get(place, (0, 0))
                found[place] = (count + 1, amount + order.total)
        return found

    def _pieces(self, statuses: set[str]) -> Counter[str]:
        pieces: Counter[str] = Counter()
        for order in self.orders.values():
            if order.status in statuses:
                pieces.update(order.lines)
        return pieces

    def _is_at(self, order_id: UUID, version: int | None, status: str) -> bool:
        order = self.orders[order_id]
        return (order.version, order.status) == (version, status)

    def _refusal(self, wish: ModelWish) -> str | None:
        order = self.orders[wish.order_id]
        way = (order.status, wish.to)
        if wish.version not in (None, order.version):
            return "stale_version"
        if order.status == wish.to:
            return "already"
        if wish.actor not in MOVES[order.status].get(wish.to, set()):
            return "invalid_transition"
        return self._flaw(wish, way)

    def _flaw(self, wish: ModelWish, way: tuple[str, str]) -> str | None:
        """What a legal move lacks, or has too much."""
        if way in NEEDS_REASON and not wish.reason:
            return "reason_required"
        if way in NEEDS_TRACKING and not wish.tracking:
            return "tracking_number_required"
        return "invalid_request" if wish.tracking and way not in NEEDS_TRACKING else None

    def _settle(self, order_ids: set[UUID]) -> None:
        """The oldest wish of each order; where there are more, there is more to do."""
        waiting: dict[UUID, list[ModelWish]] = {}
        for _, wish in sorted(self.wishes.items()):
            if wish.outcome == "pending" and wish.order_id in order_ids:
                waiting.setdefault(wish.order_id, []).append(wish)
        chosen = {}
        for wish, *later in waiting.values():
            refusal = self._refusal(wish)
            wish.outcome = "applied" if refusal in (None, "already") else refusal or ""
            if refusal is None:
                chosen[wish.order_id] = wish
            if later:
                self.work[Work("orders.transition", wish.order_id, None)] += 1
        self._advance_as({order_id: (wish.to, wish.actor) for order_id, wish in chosen.items()})
        for order_id, wish in chosen.items():
            if self.orders[order_id].status != wish.to:
                wish.outcome = "out_of_stock"

    def _advance(self, targets: Mapping[UUID, str], actor: str) -> None:
        self._advance_as({order_id: (target, actor) for order_id, target in targets.items()})

    def _advance_as(self, targets: Mapping[UUID, tuple[str, str]]) -> None:
        """Move these orders together; the earliest get the stock, and those for whom it is short are cancelled."""
        free = {sku: on_hand - reserved for sku, (on_hand, reserved) in self.stock().items()}
        for order_id in sorted(targets):
            target, actor = targets[order_id]
            if target == "confirmed":
                lines = self.orders[order_id].lines
                if all(free[sku] >= pieces for sku, pieces in lines.items()):
                    free |= {sku: free[sku] - pieces for sku, pieces in lines.items()}
                else:
                    target, actor = "cancelled", "system"
            self._move(order_id, target, actor)

    def _move(self, order_id: UUID, target: str, actor: str) -> None:
        order = self.orders[order_id]
        assert actor in MOVES[order.status][target]
        order.journey.append(target)
        order.overdue = False
        self._follow_up(order_id)

    def _follow_up(self, order_id: UUID) -> None:
        if work := self.needs(order_id):
            self.work[work] += 1
