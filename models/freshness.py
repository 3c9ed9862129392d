"""As of when an answer from the aggregates is true."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row


@dataclass(frozen=True)
class Freshness:
    as_of: datetime
    lag_seconds: float

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """From a row that has the columns of FRESH."""
        return cls(row.as_of, row.lag_seconds)


# Columns for a SELECT from `state`, the row of rollup_state. An exact answer is true at the statement's very moment.
FRESH = """CASE WHEN :exact THEN now() ELSE state.as_of END AS as_of,
    CASE WHEN :exact THEN 0 ELSE extract(epoch FROM now() - state.as_of)::float END AS lag_seconds"""
