"""The catalogue: what can be ordered, at which price, and how much of it there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    Row,
    Table,
    Text,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from models import errors
from models.metadata import metadata

SKU_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

products = Table(
    "products",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False, server_default=text("0"), comment="promised to confirmed orders"),
    Column("active", Boolean, nullable=False),
    CheckConstraint("price_minor >= 0", name="price_not_negative"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_iso_4217"),
    CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="reserved_within_on_hand"),
    postgresql_with={"fillfactor": 70},
)


@dataclass(frozen=True)
class Product:
    sku: str
    name: str
    price_minor: int
    currency: str
    on_hand: int
    reserved: int
    active: bool

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    @classmethod
    def of(cls, row: Row[tuple[object, ...]]) -> Self:
        return cls(**row._mapping)


def get(connection: Connection, sku: str) -> Product:
    row = connection.execute(select(products).where(products.c.sku == sku)).one_or_none()
    if row is None:
        raise errors.NotFound
    return Product.of(row)


def page(connection: Connection, after: str | None, limit: int) -> Sequence[Product]:
    """Up to `limit` products in sku order, the first one after `after`."""
    query = select(products).order_by(products.c.sku).limit(limit)
    if after is not None:
        query = query.where(products.c.sku > after)
    return [Product.of(row) for row in connection.execute(query)]


def put(connection: Connection, product: Product) -> tuple[Product, bool]:
    """Create or replace; what is reserved stays reserved. Returns the product and whether it is new.

    Raises:
        errors.Conflict: less on hand than is promised to orders.
    """
    values = {
        "sku": product.sku,
        "name": product.name,
        "price_minor": product.price_minor,
        "currency": product.currency,
        "on_hand": product.on_hand,
        "active": product.active,
    }
    statement = insert(products).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["sku"], set_=values, where=products.c.reserved <= product.on_hand
    )
    # xmax is 0 on a row version that no other one preceded: it was inserted, not replaced.
    row = connection.execute(
        statement.returning(products, literal_column("(products.xmax = 0)").label("is_new"))
    ).one_or_none()
    if row is None:
        raise errors.Conflict("on_hand is less than what is reserved for orders.")
    values_and_origin = dict(row._mapping)
    is_new = bool(values_and_origin.pop("is_new"))
    return Product(**values_and_origin), is_new
