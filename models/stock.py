"""Stock follows the orders: reserved when one is confirmed, released when it ends early, taken when it ships.

Products are always locked in sku order, and always after the orders, so that two batches cannot deadlock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from models.documents import dumps

Lines = Mapping[UUID, Mapping[str, int]]

# One array is one statement, however many orders; a list of parameters would be composed anew for every batch.
_LINES = text("SELECT order_id, sku, quantity FROM order_items WHERE order_id = ANY(:order_ids)").bindparams(
    bindparam("order_ids", type_=ARRAY(Uuid))
)

_FREE = text("SELECT sku, on_hand - reserved AS free FROM products WHERE sku = ANY(:skus) ORDER BY sku FOR UPDATE")

_CHANGE = text(
    """
    WITH asked AS (
        SELECT * FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS c(sku text, on_hand int, reserved int)
    ), locked AS (
        SELECT sku FROM products JOIN asked USING (sku) ORDER BY sku FOR UPDATE OF products
    )
    UPDATE products SET on_hand = products.on_hand + asked.on_hand, reserved = products.reserved + asked.reserved
    FROM asked JOIN locked USING (sku) WHERE products.sku = asked.sku
    """
)


def lines_of(connection: Connection, order_ids: Iterable[UUID]) -> Lines:
    """What each order is for: {order id: {sku: quantity}}."""
    lines: dict[UUID, dict[str, int]] = {}
    for order_id, sku, quantity in connection.execute(_LINES, {"order_ids": list(order_ids)}):
        lines.setdefault(order_id, {})[sku] = quantity
    return lines


def reserve(connection: Connection, order_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Reserve every line of as many of these orders as there is stock for, the earliest first; returns which.

    The caller holds the orders' row locks and knows that they are not reserved yet.
    """
    lines = lines_of(connection, order_ids)
    wanted = sorted({sku for order_lines in lines.values() for sku in order_lines})
    free = {row.sku: row.free for row in connection.execute(_FREE, {"skus": wanted})}
    reserved: set[UUID] = set()
    totals: Counter[str] = Counter()
    for order_id in sorted(order_ids):  # UUIDv7: in the sequence in which they were placed
        order_lines = lines.get(order_id, {})
        if all(free.get(sku, 0) - totals[sku] >= quantity for sku, quantity in order_lines.items()):
            totals.update(order_lines)
            reserved.add(order_id)
    _change(connection, {sku: (0, quantity) for sku, quantity in totals.items()})
    return frozenset(reserved)


def release(connection: Connection, order_ids: Sequence[UUID]) -> None:
    """Give back what these orders had reserved."""
    _change(connection, {sku: (0, -quantity) for sku, quantity in _totals(connection, order_ids).items()})


def take(connection: Connection, order_ids: Sequence[UUID]) -> None:
    """The reserved goods leave the house."""
    _change(connection, {sku: (-quantity, -quantity) for sku, quantity in _totals(connection, order_ids).items()})


def _totals(connection: Connection, order_ids: Sequence[UUID]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for order_lines in lines_of(connection, order_ids).values():
        totals.update(order_lines)
    return totals


def _change(connection: Connection, changes: Mapping[str, tuple[int, int]]) -> None:
    if changes:
        rows = [{"sku": sku, "on_hand": change[0], "reserved": change[1]} for sku, change in changes.items()]
        connection.execute(_CHANGE, {"changes": dumps(rows)})
