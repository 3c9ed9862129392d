"""When each entry of the timetable last ran and last succeeded, and which of them do not; beat keeps no file.

The timetable itself is code, in `schedules/timetable.py`. What is needed to judge an entry, its period, is kept here
too, so that whoever can read this table can tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, Interval, Table, Text, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from models.metadata import Instant, created_at, metadata

# An entry is overdue when it has not succeeded for this many periods; for one that runs every few seconds, for so long
# that a restart or a lease that ran out is no alarm.
PERIODS_MAX = 3
ALARM_AFTER_MIN = timedelta(minutes=1)

schedule_state = Table(
    "schedule_state",
    metadata,
    Column("entry", Text, primary_key=True),
    Column(
        "period",
        Interval,
        nullable=False,
        server_default=text("'1 day'::interval"),
        comment="how often it is to run; beat keeps it equal to the timetable",
    ),
    created_at("known_since", comment="when the timetable first had it"),
    Column("last_run_at", Instant),
    Column("last_success_at", Instant),
)


@dataclass(frozen=True)
class Known:
    """What the database knows of an entry."""

    period: timedelta
    last_run_at: datetime | None


@dataclass(frozen=True)
class Overdue:
    """An entry that has not succeeded for too long; `silent_for` counts from its last success, or its beginning."""

    entry: str
    period: timedelta
    last_success_at: datetime | None
    silent_for: timedelta


_OVERDUE = text(
    """
    SELECT entry, period, last_success_at, now() - coalesce(last_success_at, known_since) AS silent_for
    FROM schedule_state
    WHERE now() - coalesce(last_success_at, known_since) > greatest(:periods * period, :at_least)
    ORDER BY entry
    """
).bindparams(bindparam("at_least", type_=Interval))


def known(connection: Connection) -> tuple[datetime, dict[str, Known]]:
    """The database's time, and every entry it knows."""
    columns = (schedule_state.c.entry, schedule_state.c.period, schedule_state.c.last_run_at)
    rows = connection.execute(select(*columns)).all()
    now = connection.execute(select(func.now())).scalar_one()
    return now, {row.entry: Known(row.period, row.last_run_at) for row in rows}


def agree(connection: Connection, periods: Mapping[str, timedelta]) -> None:
    """Know exactly these entries with these periods: a new one from now on, and none that has left the timetable."""
    connection.execute(delete(schedule_state).where(schedule_state.c.entry.not_in(list(periods))))
    if periods:
        rows = [{"entry": entry, "period": period} for entry, period in periods.items()]
        statement = insert(schedule_state).values(rows)
        same = {"period": statement.excluded.period}
        connection.execute(statement.on_conflict_do_update(index_elements=["entry"], set_=same))


def note_run(connection: Connection, entry: str) -> None:
    _note(connection, entry, "last_run_at")


def note_success(connection: Connection, entry: str) -> None:
    """Work that is on no timetable succeeds unnoted."""
    _note(connection, entry, "last_success_at")


def overdue(connection: Connection) -> list[Overdue]:
    """The entries that have not succeeded for three periods: nobody asks for them, nobody does them, or they fail."""
    rows = connection.execute(_OVERDUE, {"periods": PERIODS_MAX, "at_least": ALARM_AFTER_MIN})
    return [Overdue(*row) for row in rows]


def _note(connection: Connection, entry: str, column: str) -> None:
    connection.execute(update(schedule_state).where(schedule_state.c.entry == entry).values({column: func.now()}))
