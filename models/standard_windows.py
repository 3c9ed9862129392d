"""The standard windows: which there are, and the users with the highest revenue in each, computed by beat.

Adding up a year of millions of orders takes seconds; here it is done once for everybody who asks.
"""

from enum import StrEnum

from sqlalchemy import Column, Date, Integer, Table, Text, Uuid

from models.aggregates import Sum
from models.metadata import Instant, metadata, one_of


class StandardWindow(StrEnum):
    DAYS_7 = "7d"
    DAYS_30 = "30d"
    DAYS_90 = "90d"
    DAYS_365 = "365d"
    ALL_TIME = "all"


standard_windows = Table(
    "standard_windows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("first", Date, comment="null: since ever"),
    Column("last", Date, nullable=False, comment="the business day on which it was computed"),
    Column("as_of", Instant, nullable=False, comment="of the aggregates it was computed from"),
    Column("computed_at", Instant, nullable=False),
    one_of("name", StandardWindow),
    comment="what top_users was computed for, and when",
)

top_users = Table(
    "top_users",
    metadata,
    Column("window_name", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("orders", Integer, nullable=False),
    Column("revenue_minor", Sum, nullable=False),
    one_of("window_name", StandardWindow),
    comment="the users with the highest revenue of each standard window, the highest first",
)
