"""Writing a history: its customers, then its slices, each in a transaction that leaves the system whole.

Every slice is whole in itself: orders with their lines, events, keys and work, and the stock they hold and took. So a
history may be written by any number of processes, on a system that works meanwhile, and be left off at any time; who
goes on writes what is not there yet.
"""

from dataclasses import dataclass
from itertools import islice
from typing import cast
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Table, select, text

from models.documents import dumps
from models.identity.permissions import Role
from models.identity.users import users
from models.lifecycle import Policy
from models.orders import orders
from ops.seeding import copying, making, rows
from ops.seeding.copying import COLUMNS, Slice
from ops.seeding.history import History

# Goods come in by the lot, as soon as there is less than a lot that is not promised to anybody.
LOT = 1_000_000
# An argon2id string of no password: nobody can log in as a seeded customer.
NO_PASSWORD = "$argon2id$v=19$m=19456,t=2,p=1$bm8gcGFzc3dvcmQ$" + "A" * 43

# Two processes that write the same history meet here, and the second finds that there is nothing left to do.
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 7160509))")

# In sku order, as everybody locks products (models/stock.py).
_STOCK = text(
    """
    WITH change AS (
        SELECT * FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS c(sku text, held int, taken int)
    ), locked AS (
        SELECT sku FROM products JOIN change USING (sku) ORDER BY sku FOR UPDATE OF products
    )
    UPDATE products SET
        reserved = products.reserved + change.held,
        on_hand = products.on_hand - change.taken + CAST(:lot AS numeric) * greatest(0, ceil(
            (products.reserved + change.held - products.on_hand + change.taken) / CAST(:lot AS numeric) + 1))
    FROM change JOIN locked USING (sku)
    WHERE products.sku = change.sku
    """
)


@dataclass(frozen=True)
class Written:
    orders: int = 0
    lines: int = 0
    events: int = 0

    def __add__(self, other: "Written") -> "Written":
        return Written(self.orders + other.orders, self.lines + other.lines, self.events + other.events)


_USER_COLUMNS = "role, password_hash, id, email, name, created_at"


def write_customers(connection: Connection, history: History) -> int:
    """The history's customers, unless they are there; returns how many were written."""
    if not _is_missing(connection, f"{history.name} customers", users, making.customers(history)[0].id):
        return 0
    shared = rows.prefix(6, rows.text(Role.CUSTOMER), rows.text(NO_PASSWORD))
    written = bytearray()
    for rank, customer in enumerate(making.customers(history), start=1):
        email, name = f"customer-{rank}@{history.name}.example.com", f"Customer {rank:,}"
        written += shared + rows.field(customer.id.bytes) + rows.text(email) + rows.text(name)
        written += rows.instant(customer.registered_at)
    _copy(connection, "users", _USER_COLUMNS, written)
    return history.users


def write_slice(connection: Connection, history: History, part: int, policy: Policy) -> Written:
    """One slice of the history, unless it is there."""
    [first] = islice(making.orders(history, part), 1)
    if not _is_missing(connection, f"{history.name} {part}", orders, first.id):
        return Written()
    made = copying.rendered(history, making.orders(history, part), policy)
    for table, columns in COLUMNS.items():
        _copy(connection, table, columns, made.tables[table])
    _move_stock(connection, made)
    return Written(**made.counted)


def _is_missing(connection: Connection, what: str, table: Table, row: UUID) -> bool:
    connection.execute(_ALONE, {"what": what})
    return connection.execute(select(table.c.id).where(table.c.id == row)).one_or_none() is None


def _copy(connection: Connection, table: str, columns: str, body: bytes | bytearray) -> None:
    if not body:
        return
    own = cast("psycopg.Connection", connection.connection.driver_connection)
    with own.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
        copy.write(rows.HEADER + body + rows.TRAILER)


def _move_stock(connection: Connection, made: Slice) -> None:
    changes = [
        {"sku": sku, "held": made.held[sku], "taken": made.taken[sku]} for sku in sorted({*made.held, *made.taken})
    ]
    if changes:
        connection.execute(_STOCK, {"changes": dumps(changes), "lot": LOT})
