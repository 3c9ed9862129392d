"""What is read off before and after a round: CPU seconds of processes, and PostgreSQL's own counters."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import psutil
import psycopg


@dataclass(frozen=True)
class Counters:
    """PostgreSQL's counters for one database role, and the whole server's log position.

    Statements are every call, BEGIN and COMMIT included. Batches are the statements that claim idempotency keys.
    """

    statements: int
    statement_wal_bytes: int
    batches: int
    wal_bytes: int

    def __sub__(self, earlier: Self) -> "Counters":
        return Counters(*(getattr(self, each.name) - getattr(earlier, each.name) for each in fields(self)))


_COUNTERS = """
    SELECT coalesce(sum(calls), 0), coalesce(sum(wal_bytes), 0),
        coalesce(sum(calls) FILTER (WHERE query LIKE '%%INSERT INTO idempotency_keys%%'), 0),
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')
    FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid JOIN pg_roles AS r ON r.oid = s.userid
    WHERE d.datname = current_database() AND r.rolname = %s
"""


def counters(connection: psycopg.Connection, role: str) -> Counters:
    """The counters of the statements that `role` has sent in the connection's database. Needs pg_stat_statements."""
    [row] = connection.execute(_COUNTERS, [role]).fetchall()
    return Counters(*map(int, row))


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes and of all their children, those that have ended included."""
    return sum(map(_with_children, pids))


def _with_children(pid: int) -> float:
    process = psutil.Process(pid)
    living = sum(map(_own, process.children()))
    return living + sum(process.cpu_times()[:4])


def _own(child: psutil.Process) -> float:
    try:
        return sum(child.cpu_times()[:2])
    except psutil.NoSuchProcess:  # It has ended since it was listed: its parent has its time now.
        return 0.0
