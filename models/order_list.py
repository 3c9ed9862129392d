"""The list of orders: its filters, and keyset pages that cost the same at any depth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, false, func, not_, select, tuple_

from models.lifecycle import FINAL, Status
from models.orders import Order, order_items, orders, with_lines


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


@dataclass(frozen=True)
class Position:
    """Where a page ended."""

    placed_at: datetime
    id: UUID


def page(
    connection: Connection, narrowed: Filter, after: Position | None, limit: int, newest_first: bool
) -> Sequence[Order]:
    """Up to `limit` orders behind `after`, with their lines."""
    query = _narrow(select(orders), narrowed)
    key = tuple_(orders.c.placed_at, orders.c.id)
    if after is not None:
        position = tuple_(after.placed_at, after.id)
        query = query.where(key < position if newest_first else key > position)
    direction = (orders.c.placed_at.desc(), orders.c.id.desc()) if newest_first else (orders.c.placed_at, orders.c.id)
    found = [Order.of(row) for row in connection.execute(query.order_by(*direction).limit(limit))]
    return with_lines(connection, found)


def _narrow(query: Select[Any], narrowed: Filter) -> Select[Any]:
    """The query with a condition for every part of the filter that is given."""
    is_stuck = orders.c.status.not_in(FINAL) & (orders.c.due_at <= func.now())
    conditions: Mapping[str, Callable[[Any], ColumnElement[bool]]] = {
        "owner": lambda owner: orders.c.user_id == owner,
        "user_id": lambda user_id: orders.c.user_id == user_id,
        "statuses": orders.c.status.in_,
        "placed_at_min": lambda moment: orders.c.placed_at >= moment,
        "placed_at_max": lambda moment: orders.c.placed_at <= moment,
        "client_reference": lambda reference: orders.c.client_reference == reference,
        "sku": lambda sku: orders.c.id.in_(select(order_items.c.order_id).where(order_items.c.sku == sku)),
        "stuck": lambda stuck: is_stuck if stuck else not_(func.coalesce(is_stuck, false())),
    }
    given = {name: getattr(narrowed, name) for name in conditions}
    return query.where(*(conditions[name](value) for name, value in given.items() if value not in (None, ())))
