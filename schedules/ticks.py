"""Which entries are due, and the ticks they leave in the outbox: the part of the scheduler that knows no Celery."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from models import outbox, schedule
from schedules.timetable import Entry


def is_due(entry: Entry, last_run: datetime | None, now: datetime) -> bool:
    """A last run in the future is one from before the clock was stepped back: the entry is due, not silenced."""
    return last_run is None or last_run > now or last_run + entry.every <= now


def until_next(timetable: Sequence[Entry], last_runs: Mapping[str, datetime], now: datetime) -> timedelta:
    """How long until the next entry falls due."""
    waits = [
        max(last_runs[entry.kind] + entry.every - now, timedelta(0)) for entry in timetable if entry.kind in last_runs
    ]
    return min(waits, default=timedelta(0))


def tick(connection: Connection, timetable: Sequence[Entry]) -> timedelta:
    """Queue every entry that is due, once however many periods were missed; returns how long until the next one.

    The tick is an outbox row, so a dead broker delays it and cannot lose it. An entry whose last tick is still waiting
    is not queued twice.
    """
    now, last_runs = schedule.last_runs(connection)
    for entry in timetable:
        if is_due(entry, last_runs.get(entry.kind), now):
            outbox.put(connection, entry.kind)
            schedule.note_run(connection, entry.kind)
            last_runs[entry.kind] = now
    return until_next(timetable, last_runs, now)
