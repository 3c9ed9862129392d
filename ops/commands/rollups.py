"""The commands below `orders rollups`: what can be typed. What they do is `ops/rollups.py`."""

from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from ops import rollups
from ops.failures import LocalError
from ops.local import data_directory
from ops.local.data_directory import Data

app = typer.Typer(help="The aggregates that analytics are answered from.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("audit")
def audit_command(
    *,
    day: Annotated[
        list[datetime] | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="This business day; may be repeated."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every day there is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Compare days, and their months, with a recount of the events, and repair what is wrong (exit code 1).

    By default, yesterday and any day before it: what the timetable does every hour.
    """
    if everything and day:
        raise LocalError("name days with --day, or take all of them with --all: not both.")
    with rollups.reached(data) as (connection, today):
        days = rollups.chosen_days(connection, today, [each.date() for each in day or []], everything=everything)
        found = rollups.audit(connection, days, Console(stderr=True), repair=not dry_run)
    raise typer.Exit(rollups.tell_audit(days, found, repaired=not dry_run, as_json=as_json))


@app.command("rebuild")
def rebuild_command(*, as_json: AsJson = False, data: Data = data_directory.DEFAULT) -> None:
    """Recount everything from the events, while orders come in, and correct the aggregates all at once.

    For after a dump was restored (the workers do it by themselves then), or a hand was in the database.
    """
    with rollups.reached(data) as (connection, _):
        corrected = rollups.rebuilt(connection, Console(stderr=True))
    rollups.tell_rebuild(corrected, as_json=as_json)
