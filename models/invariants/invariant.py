"""What an invariant is, and how it is examined."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from models import idempotency, transition_requests
from models.documents import dumps
from models.lifecycle import HOLDING, MOVES, REVENUE, Policy, Status

VIOLATORS_NAMED = 10
# Work that has been due for longer is not merely waiting its turn.
OVERDUE_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class Invariant:
    """`violators`: a SELECT of one text column, the names of what breaks it. `remedy`: what that means, what to do."""

    name: str
    guarantee: str
    holds: str
    remedy: str
    violators: str


@dataclass(frozen=True)
class Finding:
    """How many break an invariant, the first of them by name, and what it took to find out."""

    invariant: Invariant
    violations: int
    violators: tuple[str, ...]
    seconds: float

    @property
    def is_clean(self) -> bool:
        return self.violations == 0


def in_one_snapshot(connection: Connection) -> Connection:
    """Make the connection's next transaction one that sees one moment and can write nothing.

    It has no transaction id: neither the fold nor the feed waits for it. Vacuum does, for as long as it lasts.
    """
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def examine(connection: Connection, invariant: Invariant, policy: Policy) -> Finding:
    """Look for what breaks this invariant in the connection's transaction."""
    began = time.perf_counter()
    # An examination reads whole tables: the time limits of a request are not meant for it.
    connection.execute(text("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'"))
    statement = text(
        f"WITH violator (name) AS MATERIALIZED ({invariant.violators})"
        " SELECT (SELECT count(*) FROM violator) AS violations,"
        " ARRAY(SELECT name FROM violator ORDER BY name LIMIT :named) AS names"
    )
    found = connection.execute(statement, {"named": VIOLATORS_NAMED, **_parameters(policy)}).one()
    return Finding(invariant, found.violations, tuple(found.names), time.perf_counter() - began)


def _parameters(policy: Policy) -> Mapping[str, object]:
    """What the statements may ask for: the code's own tables, because the database's copies are what is examined."""
    follow_ups = [(status, policy.follow_up(status)) for status in Status]
    return {
        "holding": sorted(HOLDING),
        "revenue": sorted(REVENUE),
        "moves": dumps([{"source": move.source, "target": move.target} for move in MOVES]),
        "follow_ups": dumps([{"status": status, "kind": each.kind} for status, each in follow_ups if each]),
        "transition": transition_requests.KIND,
        "kept": idempotency.KEPT,
        "overdue_after": OVERDUE_AFTER,
    }
