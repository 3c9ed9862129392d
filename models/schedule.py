"""When each entry of the timetable last ran and last succeeded; beat keeps no file of its own."""

from datetime import datetime

from sqlalchemy import Column, Connection, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert

from models.metadata import Instant, metadata

schedule_state = Table(
    "schedule_state",
    metadata,
    Column("entry", Text, primary_key=True),
    Column("last_run_at", Instant),
    Column("last_success_at", Instant),
)


def last_runs(connection: Connection) -> tuple[datetime, dict[str, datetime]]:
    """The database's time, and when each entry last ran."""
    rows = connection.execute(select(schedule_state.c.entry, schedule_state.c.last_run_at)).all()
    return connection.execute(select(func.now())).scalar_one(), {
        row.entry: row.last_run_at for row in rows if row.last_run_at is not None
    }


def note_run(connection: Connection, entry: str) -> None:
    _note(connection, entry, "last_run_at")


def note_success(connection: Connection, entry: str) -> None:
    _note(connection, entry, "last_success_at")


def _note(connection: Connection, entry: str, column: str) -> None:
    noted = {column: func.now()}
    statement = insert(schedule_state).values(entry=entry, **noted)
    connection.execute(statement.on_conflict_do_update(index_elements=["entry"], set_=noted))
