"""Orders, their lines and their events: the tables, and how one order or a page of them is read.

Nothing here changes an order. They come into being in `models/acceptance.py` and move in `models/advance.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    Row,
    Table,
    Text,
    Uuid,
    any_,
    cast,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from models import errors
from models.identity.users import users
from models.lifecycle import FINAL, Actor, Status, legal_moves
from models.metadata import Instant, Xid8, enumeration, index, metadata, one_of

ONE_ORDER_PER_REFERENCE = "uq_orders_user_id_client_reference"
_NOT_FINAL = "status NOT IN ({})".format(", ".join(f"'{status}'" for status in sorted(FINAL)))

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", Text, nullable=False, comment="for people; derived from the id"),
    Column("user_id", Uuid, ForeignKey(users.c.id), nullable=False),
    enumeration("status"),
    Column("version", Integer, nullable=False, comment="one more with every move"),
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("client_reference", Text),
    Column("metadata", JSONB, nullable=False),
    Column("tracking_number", Text),
    Column("placed_at", Instant, nullable=False),
    Column("placed_on", Date, nullable=False, comment="business day in REPORTING_TZ, fixed at acceptance"),
    Column("due_at", Instant, comment="when its present status is overstayed"),
    Column("updated_at", Instant, nullable=False),
    one_of("status", Status),
    CheckConstraint("version >= 1", name="version_from_one"),
    CheckConstraint("total_minor >= 0", name="total_not_negative"),
    index("ix_orders_user_id_placed_at_id", "user_id", "placed_at", "id", serves="a customer's list of orders"),
    index("ix_orders_status_placed_at_id", "status", "placed_at", "id", serves="the staff's list, filtered by status"),
    index("ix_orders_placed_at_id", "placed_at", "id", serves="the staff's list of everything"),
    index(
        "ix_orders_due_at",
        "due_at",
        postgresql_where=text(_NOT_FINAL),
        serves="stuck orders, and the expiry of pending ones",
    ),
    index(
        ONE_ORDER_PER_REFERENCE,
        "user_id",
        "client_reference",
        unique=True,
        postgresql_where=text("client_reference IS NOT NULL"),
        serves="one order per client_reference, and the list filtered by it",
    ),
    index(
        "ix_orders_client_reference_placed_at_id",
        "client_reference",
        "placed_at",
        "id",
        postgresql_where=text("client_reference IS NOT NULL"),
        serves="the staff's list, filtered by client_reference; orders without one do not pay for it",
    ),
    postgresql_with={"fillfactor": 85},
)

order_items = Table(
    "order_items",
    metadata,
    Column("order_id", Uuid, ForeignKey(orders.c.id), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("sku", Text, nullable=False),
    Column("name", Text, nullable=False, comment="as it was when the order was placed"),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    Column(
        "placed_at",
        Instant,
        nullable=False,
        comment="its order's, which never changes: a list by sku is in the order of time",
    ),
    CheckConstraint("quantity >= 1", name="quantity_positive"),
    index(
        "uq_order_items_sku_placed_at_order_id",
        "sku",
        "placed_at",
        "order_id",
        unique=True,
        serves="the list filtered by sku, and no sku twice in one order",
    ),
)

order_events = Table(
    "order_events",
    metadata,
    Column("order_id", Uuid, ForeignKey(orders.c.id), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("from_status", Text, comment="null for the first event"),
    enumeration("to_status"),
    enumeration("actor"),
    Column("reason", Text),
    Column("request_id", Text),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("user_id", Uuid, nullable=False),
    Column("placed_on", Date, nullable=False),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("at", Instant, nullable=False, server_default=text("now()")),
    ForeignKeyConstraint(["from_status", "to_status"], [legal_moves.c.from_status, legal_moves.c.to_status]),
    one_of("to_status", Status),
    one_of("actor", Actor),
    CheckConstraint(
        f"(version = 1) = (from_status IS NULL) AND (version > 1 OR to_status = '{Status.PENDING}')",
        name="begins_pending",
    ),
    index(
        "ix_order_events_placed_on",
        "placed_on",
        postgresql_using="brin",
        postgresql_with={"autosummarize": "on"},
        serves="the audit: the events of the orders of one day",
    ),
    index("ix_order_events_xid", "xid", serves="fold, exact answers and feed: events since a transaction"),
    comment="append only; carries what the aggregates need, so that folding reads no other table",
)


EVENT_COLUMNS = ("order_id", "version", "from_status", "to_status", "actor", "reason", "request_id", "at")


class Line(NamedTuple):
    line: int
    sku: str
    name: str
    quantity: int
    unit_price_minor: int

    @property
    def amount_minor(self) -> int:
        return self.unit_price_minor * self.quantity


@dataclass(frozen=True)
class Order:
    id: UUID
    number: str
    user_id: UUID
    status: Status
    version: int
    currency: str
    total_minor: int
    client_reference: str | None
    metadata: Mapping[str, str]
    tracking_number: str | None
    placed_at: datetime
    placed_on: date
    due_at: datetime | None
    updated_at: datetime
    lines: tuple[Line, ...] = ()

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        return cls(**{**row._mapping, "status": Status(row.status)})


@dataclass(frozen=True)
class Event:
    order_id: UUID
    version: int
    from_status: str | None
    to_status: str
    actor: str
    reason: str | None
    request_id: str | None
    at: datetime


def get(connection: Connection, order_id: UUID, owner: UUID | None) -> Order:
    """One order with its lines; with `owner`, only if it is theirs.

    Raises:
        errors.NotFound: there is none, or it is somebody else's: the two cannot be told apart.
    """
    query = select(orders).where(orders.c.id == order_id)
    if owner is not None:
        query = query.where(orders.c.user_id == owner)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise errors.NotFound
    return with_lines(connection, [Order.of(row)])[0]


def with_lines(connection: Connection, found: Sequence[Order]) -> list[Order]:
    """The same orders, in the same sequence, with their lines (one statement for all of them)."""
    if not found:
        return []
    lines: dict[UUID, list[Line]] = {order.id: [] for order in found}
    columns = (order_items.c[name] for name in ("order_id", "line", "sku", "name", "quantity", "unit_price_minor"))
    # One array is one statement for any number of orders; their few lines are put in order here.
    query = select(*columns).where(order_items.c.order_id == any_(cast(list(lines), ARRAY(Uuid))))
    for order_id, *line in connection.execute(query):
        lines[order_id].append(Line(*line))
    return [replace(order, lines=tuple(sorted(lines[order.id], key=lambda each: each.line))) for order in found]


def versions(connection: Connection, order_ids: Collection[UUID]) -> Mapping[UUID, int]:
    """The present versions of these orders."""
    query = select(orders.c.id, orders.c.version).where(orders.c.id == any_(cast(list(order_ids), ARRAY(Uuid))))
    return {row.id: row.version for row in connection.execute(query)}


def events_of(connection: Connection, order_id: UUID, owner: UUID | None) -> list[Event]:
    """Everything that happened to an order, the first event first; with `owner`, only if the order is theirs.

    Raises:
        errors.NotFound: as for `get`.
    """
    query = (
        select(*(order_events.c[name] for name in EVENT_COLUMNS))
        .where(order_events.c.order_id == order_id)
        .order_by(order_events.c.version)
    )
    if owner is not None:
        query = query.where(order_events.c.user_id == owner)
    found = [Event(*row) for row in connection.execute(query)]
    if not found:  # An order begins with its first event: without one, there is no order.
        raise errors.NotFound
    return found
