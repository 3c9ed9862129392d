"""Which entries are due, and the ticks they leave in the outbox: the part of the scheduler that knows no Celery."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection

from models import outbox, redispatch, schedule
from schedules.timetable import Entry


def is_due(entry: Entry, last_run: datetime | None, now: datetime, zone: tzinfo) -> bool:
    """A last run in the future is one from before the clock was stepped back: the entry is due, not silenced."""
    return last_run is None or last_run > now or entry.every.after(last_run, zone) <= now


def until_next(timetable: Sequence[Entry], last_runs: Mapping[str, datetime], now: datetime, zone: tzinfo) -> timedelta:
    """How long until the next entry falls due."""
    waits = [
        max(entry.every.after(last_runs[entry.kind], zone) - now, timedelta(0))
        for entry in timetable
        if entry.kind in last_runs
    ]
    return min(waits, default=timedelta(0))


def tick(connection: Connection, timetable: Sequence[Entry], zone: tzinfo) -> timedelta:
    """Queue every entry that is due, once however many periods were missed; returns how long until the next one.

    The tick is an outbox row, so a dead broker delays it and cannot lose it. An entry whose last tick is still waiting
    is not queued twice.
    """
    now, last_runs = _known(connection, timetable)
    if any(last_run > now for last_run in last_runs.values()):
        redispatch.recall_ticks(connection)
    for entry in timetable:
        if is_due(entry, last_runs.get(entry.kind), now, zone):
            outbox.put(connection, entry.kind)
            schedule.note_run(connection, entry.kind)
            last_runs[entry.kind] = now
    return until_next(timetable, last_runs, now, zone)


def _known(connection: Connection, timetable: Sequence[Entry]) -> tuple[datetime, dict[str, datetime]]:
    """The database's time, and when each entry last ran. What the database knows of entries is first made to agree."""
    now, known = schedule.known(connection)
    periods = {entry.kind: entry.every.period for entry in timetable}
    if periods != {kind: entry.period for kind, entry in known.items()}:
        schedule.agree(connection, periods)
    last_runs = {kind: entry.last_run_at for kind, entry in known.items() if kind in periods}
    return now, {kind: last_run for kind, last_run in last_runs.items() if last_run is not None}
