"""The list of orders: its filters, and keyset pages that cost the same at any depth.

A page is read along an index that stands in the order of the list and is entered where the page before ended, so that
nothing is ever sorted. Which index leads follows from the filter; what else is asked for is checked row by row, and the
last column bounds how many rows a page can read for that:

| given                            | led by                                  | rows it may check              |
|----------------------------------|-----------------------------------------|--------------------------------|
| a person and their reference     | uq_orders_user_id_client_reference      | one                            |
| a reference                      | ix_orders_client_reference_placed_at_id | the orders with that reference |
| a person                         | ix_orders_user_id_placed_at_id          | that person's orders           |
| stuck, and few orders are        | ix_orders_due_at, then the primary key  | `FEW_STUCK`                    |
| stuck, and many are              | ix_orders_status_placed_at_id, each     | the orders that are not final  |
| a sku, unless statuses are rarer | uq_order_items_sku_placed_at_order_id   | the orders with that sku       |
| statuses                         | ix_orders_status_placed_at_id, each     | the orders in these statuses   |
| nothing, or not stuck            | ix_orders_placed_at_id                  | the stuck orders               |

`placed_at_min` and `placed_at_max` are ends of that index scan, whichever it is. Of several statuses each gives a page,
and the page is what comes first of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Tuple,
    Uuid,
    any_,
    cast,
    exists,
    func,
    literal,
    literal_column,
    not_,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from models.lifecycle import FINAL, Status
from models.orders import Order, order_items, orders, with_lines

FEW_STUCK = 1000
OPEN = tuple(status for status in Status if status not in FINAL)


@dataclass(frozen=True)
class Filter:
    """What the list is narrowed to. `owner` is whose orders the caller may see at all; None: everybody's."""

    owner: UUID | None
    user_id: UUID | None = None
    statuses: tuple[Status, ...] = ()
    placed_at_min: datetime | None = None
    placed_at_max: datetime | None = None
    client_reference: str | None = None
    sku: str | None = None
    stuck: bool | None = None

    @property
    def person(self) -> UUID | None:
        return self.owner or self.user_id

    @property
    def is_empty(self) -> bool:
        """Whether no order can match: somebody else's are asked for, or final ones that are stuck."""
        is_elsewhere = self.owner is not None and self.user_id not in (None, self.owner)
        return is_elsewhere or bool(self.stuck and self.statuses and FINAL.issuperset(self.statuses))


@dataclass(frozen=True)
class Position:
    """Where a page ended."""

    placed_at: datetime
    id: UUID


@dataclass(frozen=True)
class _Page:
    """What is asked for: the list, where in it, how much of it, in which direction."""

    narrowed: Filter
    after: Position | None
    limit: int
    newest_first: bool

    def along(self, query: Select[Any], index: Sequence[ColumnElement[Any]], *led_by: object) -> Select[Any]:
        """The query, read along an index `(…, placed_at, id)`, in the part whose first columns equal `led_by`.

        Ends and order name the columns of the index as a range of rows, and not the first ones by an equality: no other
        index has that order, so that no statistics can make PostgreSQL walk another one and check row after row.
        """
        lowest, highest = self._ends(led_by)
        behind = self.after and (*led_by, self.after.placed_at, self.after.id)
        # The scan is entered by one condition: given two, PostgreSQL would take the wider one, and read from there.
        if behind and self.newest_first and behind[: len(highest)] <= highest:
            query, highest = query.where(tuple_(*index) < _row(index, behind)), ()
        elif behind and not self.newest_first and behind[: len(lowest)] >= lowest:
            query, lowest = query.where(tuple_(*index) > _row(index, behind)), ()
        if lowest:
            query = query.where(tuple_(*index[: len(lowest)]) >= _row(index, lowest))
        if highest:
            query = query.where(tuple_(*index[: len(highest)]) <= _row(index, highest))
        return query.order_by(*(each.desc() if self.newest_first else each for each in index)).limit(self.limit)

    def among(self, query: Select[Any]) -> Select[Any]:
        """The query, for so few rows that they can be read in any order."""
        index = (orders.c.placed_at, orders.c.id)
        if self.after is not None:
            row = _row(index, (self.after.placed_at, self.after.id))
            query = query.where(tuple_(*index) < row if self.newest_first else tuple_(*index) > row)
        if self.narrowed.placed_at_min is not None:
            query = query.where(orders.c.placed_at >= self.narrowed.placed_at_min)
        if self.narrowed.placed_at_max is not None:
            query = query.where(orders.c.placed_at <= self.narrowed.placed_at_max)
        return query

    def _ends(self, led_by: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        since, until = self.narrowed.placed_at_min, self.narrowed.placed_at_max
        return led_by + ((since,) if since else ()), led_by + ((until,) if until else ())


def page(
    connection: Connection, narrowed: Filter, after: Position | None, limit: int, newest_first: bool
) -> Sequence[Order]:
    """Up to `limit` orders behind `after`, with their lines."""
    if narrowed.is_empty:
        return []
    # For the few rows of a small list PostgreSQL would rather sort, until the day on which its statistics are wrong.
    connection.execute(text("SELECT set_config('enable_sort', 'off', true)"))
    asked = _Page(narrowed, after, limit, newest_first)
    rows = connection.execute(_query(asked, _few_stuck(connection) if _is_led_by_stuck(narrowed) else None))
    found = sorted(map(Order.of, rows), key=lambda order: (order.placed_at, order.id), reverse=newest_first)
    return with_lines(connection, found[:limit])


def _query(asked: _Page, few_stuck: Sequence[UUID] | None) -> CompoundSelect[Any] | Select[Any]:
    """The rows of the page, and of a page of each status where there are several."""
    narrowed, time = asked.narrowed, (orders.c.placed_at, orders.c.id)
    if narrowed.person is not None and narrowed.client_reference is not None:
        return asked.among(_checked(asked))
    if few_stuck is not None:
        return asked.among(_checked(asked).where(orders.c.id == any_(cast(few_stuck, ARRAY(Uuid)))))
    if _is_led_by_statuses(narrowed):
        statuses = [status for status in Status if status in (narrowed.statuses or OPEN)]
        query = _checked(asked, "statuses")
        return union_all(*(asked.along(query, (orders.c.status, *time), status) for status in statuses))
    if narrowed.client_reference is not None:
        query = _checked(asked, "client_reference").where(orders.c.client_reference.is_not(None))
        return asked.along(query, (orders.c.client_reference, *time), narrowed.client_reference)
    if narrowed.person is not None:
        return asked.along(_checked(asked, "person"), (orders.c.user_id, *time), narrowed.person)
    return _along_sku(asked) if narrowed.sku is not None else asked.along(_checked(asked), time)


def _along_sku(asked: _Page) -> Select[Any]:
    line = order_items.c
    query = _checked(asked, "sku").join(order_items, line.order_id == orders.c.id)
    return asked.along(query, (line.sku, line.placed_at, line.order_id), asked.narrowed.sku)


def _row(columns: Sequence[ColumnElement[Any]], values: Sequence[object]) -> Tuple:
    return tuple_(*(literal(value, column.type) for column, value in zip(columns, values, strict=False)))


def _is_led_by_stuck(narrowed: Filter) -> bool:
    return narrowed.stuck is True and narrowed.person is None and narrowed.client_reference is None


def _is_led_by_statuses(narrowed: Filter) -> bool:
    """Most orders are delivered ones; a list of any others is shorter than that of a sku that sells."""
    if narrowed.person is not None or narrowed.client_reference is not None:
        return False
    is_shorter = narrowed.sku is None or Status.DELIVERED not in narrowed.statuses
    return bool(narrowed.stuck) or (bool(narrowed.statuses) and is_shorter)


def _few_stuck(connection: Connection) -> list[UUID] | None:
    """The ids of all stuck orders (by ix_orders_due_at); None if they are more than a few."""
    query = select(orders.c.id).where(orders.c.status.not_in(FINAL), orders.c.due_at <= func.now())
    found = list(connection.execute(query.limit(FEW_STUCK + 1)).scalars())
    return found if len(found) <= FEW_STUCK else None


def _checked(asked: _Page, led_by: str = "") -> Select[Any]:
    """Orders that fulfil every condition but the one that leads."""
    narrowed, line = asked.narrowed, order_items.c
    is_past = func.coalesce(orders.c.due_at, literal_column("'infinity'::timestamptz")) <= func.now()
    is_stuck = orders.c.status.not_in(FINAL) & is_past
    # By the primary key. OFFSET 0 keeps PostgreSQL from looking at all lines with the sku instead.
    has_line = exists(select(line.line).where(line.order_id == orders.c.id, line.sku == narrowed.sku).offset(0))
    conditions: dict[str, tuple[object, ColumnElement[bool]]] = {
        "person": (narrowed.person, orders.c.user_id == narrowed.person),
        "client_reference": (narrowed.client_reference, orders.c.client_reference == narrowed.client_reference),
        "statuses": (narrowed.statuses or None, orders.c.status.in_(narrowed.statuses)),
        "sku": (narrowed.sku, has_line),
        "stuck": (narrowed.stuck, is_stuck if narrowed.stuck else not_(is_stuck)),
    }
    given = [condition for name, (value, condition) in conditions.items() if value is not None and name != led_by]
    return select(orders).where(*given)
