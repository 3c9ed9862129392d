"""`orders rollups`: what the timetable does hourly, for somebody who wants to know now, and the way back to exactness.

It acts on the configured system, or on what `orders up` runs in the data directory, with the workers' database role.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from sqlalchemy import Connection

from models.analytics import drift, rebuild, rollups
from models.analytics.drift import Drift
from ops.failures import LocalError
from ops.local import which_system
from runtime import clock, database
from runtime.database import Role

P = ParamSpec("P")
R = TypeVar("R")

UNTRUSTED = "the watermark is not this system's own (a restored dump?): run `orders rollups rebuild`."


@contextmanager
def reached(data: Path) -> Iterator[tuple[Connection, date]]:
    """The system's database, as its workers use it, and the business day it is.

    Raises:
        LocalError: there is none.
    """
    configuration = which_system.configuration(data)
    engine = database.engine(configuration, Role.WORKER)
    try:
        with engine.connect() as connection:
            yield connection, clock.business_day(clock.now(), configuration.zone)
    finally:
        engine.dispose()


def each_in_a_transaction(connection: Connection) -> rebuild.Run:
    """Steps of a session, each in a transaction of its own: none of them holds anybody back for long."""

    def run(verb: Callable[Concatenate[Connection, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connection.begin():
            return verb(connection, *args, **kwargs)

    return run


def chosen_days(connection: Connection, today: date, named: Sequence[date], *, everything: bool) -> list[date]:
    """The days to audit: those that were named, all there are, or those that the timetable would take."""
    run = each_in_a_transaction(connection)
    if everything:
        return run(drift.every_day)
    return list(named) or run(drift.days_to_audit, today)


def audit(connection: Connection, days: Sequence[date], console: Console, *, repair: bool) -> list[Drift]:
    """What was wrong on each day and in their months; many of them have a progress bar.

    Raises:
        LocalError: the aggregates have to be rebuilt first.
    """
    run = each_in_a_transaction(connection)
    parts, is_shown = drift.parts(days), console.is_terminal and len(days) > 1
    found: list[Drift] = []
    try:
        for part in track(parts, "Days and months", console=console, disable=not is_shown):
            found += run(drift.compare, part, repair=repair)
    except rollups.UntrustedWatermark:
        raise LocalError(UNTRUSTED) from None
    run(drift.note, found)
    return found


def tell_audit(days: Sequence[date], found: Sequence[Drift], *, repaired: bool, as_json: bool) -> int:
    """Say what was wrong; returns the exit code: 1 if anything was."""
    rows = sum(each.rows for each in found)
    if as_json:
        answer = {"days": days, "drift": rows, "found": [asdict(each) for each in found], "repaired": repaired}
        typer.echo(to_json(answer).decode())
        return int(rows > 0)
    for each in found:
        typer.echo(f"{each.day} {each.table}: {each.rows} wrong{', repaired' if repaired else ''}")
    if not rows:
        typer.echo(f"{len(days)} days compared with a recount: no drift")
    return int(rows > 0)


def rebuilt(connection: Connection, console: Console) -> Mapping[str, int]:
    """Rebuild everything, with a progress bar; returns how many rows of each aggregate were corrected."""
    corrected: Mapping[str, int] = {}
    with _bar(console) as bar:
        task = bar.add_task("Orders", total=None)
        for progress in rebuild.rebuild(each_in_a_transaction(connection)):
            bar.update(task, completed=progress.counted, total=progress.orders)
            corrected = progress.corrected or corrected
    return corrected


def tell_rebuild(corrected: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(to_json({"corrected": corrected}).decode())
        return
    for table, rows in corrected.items():
        typer.echo(f"{table}: {rows} rows corrected")


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
