"""As of when an answer from the aggregates is true; one that is to be exact is refused where it cannot be.

What the aggregates say is true as of some moment even after a dump was restored. What has happened since is known by
the watermark alone: while that is not trusted, nobody can say it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Row

from models import errors
from models.analytics.rollups import TRUSTED


@dataclass(frozen=True)
class Freshness:
    as_of: datetime
    lag_seconds: float

    @classmethod
    def of(cls, row: Row[Any]) -> Self:
        """From a row that has the columns of FRESH.

        Raises:
            errors.Unavailable: it was to be exact, and the watermark is not trusted.
        """
        if not row.can_be_told:
            raise errors.Unavailable(
                "There is no exact answer before everything has been recounted, as it is after a dump was restored."
                " Without `exact`, the answer is as of before.",
                cause=errors.Cause.ROLLUPS_UNTRUSTED,
            )
        return cls(row.as_of, row.lag_seconds)


# The row of rollup_state, for a WITH. It is looked at once, however often the statement names it.
STATE = f"""state AS (
        SELECT *, CASE WHEN :exact THEN {TRUSTED} ELSE true END AS can_be_told FROM rollup_state WHERE name = :name
    )"""
# Columns for a SELECT from `state`. An exact answer is true at the statement's very moment.
FRESH = """state.can_be_told, CASE WHEN :exact THEN now() ELSE state.as_of END AS as_of,
    CASE WHEN :exact THEN 0 ELSE extract(epoch FROM now() - state.as_of)::float END AS lag_seconds"""
