"""The metadata every table belongs to: the naming convention, the column types and the index helper."""

from typing import Any

from sqlalchemy import CheckConstraint, Column, DateTime, Index, MetaData, Text, text
from sqlalchemy.types import UserDefinedType

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)


class Xid8(UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id, which never wraps. Compared and moved inside SQL only."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def created_at(name: str = "created_at", **options: Any) -> Column[Any]:
    return Column(name, Instant, nullable=False, server_default=text("now()"), **options)


def one_of(column: str, values: type[Any], name: str | None = None) -> CheckConstraint:
    """The CHECK that makes a text column an enumeration."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or f"{column}_known")


def index(name: str, *columns: Any, serves: str, **options: Any) -> Index:
    """An index and the query it serves; the sentence becomes the index's comment in the catalogue."""
    return Index(name, *columns, info={"serves": serves}, **options)


def enumeration(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)
