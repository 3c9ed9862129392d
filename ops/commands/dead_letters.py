"""The commands below `orders dead-letters`: what can be typed. What they do is `ops/dead_letters.py`."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from models.dead_letters import Filter, State
from ops import dead_letters
from ops.dead_letters import Act, System
from ops.failures import LocalError
from ops.local import data_directory
from ops.local.data_directory import Data

app = typer.Typer(help="Work that was tried often enough, and waits for a person.", no_args_is_help=True)

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", min=1, help="The letters' ids, from `ls`.")]
Kind = Annotated[str | None, typer.Option(metavar="TASK", help="Only those of this task, for example orders.confirm.")]
Order = Annotated[UUID | None, typer.Option(metavar="ID", help="Only those of this order.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Only those given up since then: 2026-11-25, or 2026-11-25T10:30:00 in UTC or with an offset.",
    ),
]
AllMatching = Annotated[bool, typer.Option("--all-matching", help="All open ones that the filters leave.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("ls")
def list_command(
    *,
    kind: Kind = None,
    order: Order = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """List dead letters, the newest first."""
    state = State.ALL if everything else State.OPEN
    with dead_letters.reached(data) as system:
        letters = dead_letters.found(system, Filter(state, kind, order, _in_utc(since)), limit)
    if as_json:
        typer.echo(dead_letters.as_json([dead_letters.document(letter) for letter in letters]))
    else:
        dead_letters.show_list(letters, Console())


@app.command("show")
def show_command(
    letter: Annotated[int, typer.Argument(metavar="ID", min=1, help="The letter's id.")],
    *,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Show one dead letter with all that is known about it, its traceback too."""
    with dead_letters.reached(data) as system:
        shown = dead_letters.get(system, letter)
    if as_json:
        typer.echo(dead_letters.as_json(dead_letters.document(shown)))
    else:
        dead_letters.show(shown, Console())


@app.command("replay")
def replay_command(
    ids: Ids = None,
    *,
    kind: Kind = None,
    order: Order = None,
    since: Since = None,
    all_matching: AllMatching = False,
    reason: Annotated[str | None, typer.Option(help="Why; a failed order's next event repeats it.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Have the work of dead letters done after all.

    A failed order is asked back to pending; other work is queued again if it still applies. A transition that somebody
    asked for was refused, and stays so. Replaying a letter again does nothing more. Exit code 1: one was refused.
    """
    with dead_letters.reached(data) as system:
        chosen = _chosen(system, ids, Filter(State.OPEN, kind, order, _in_utc(since)), all_matching=all_matching)
        act = dead_letters.replaying(system.policy, reason, dry_run=dry_run)
        _resolve(system, chosen, act, dry_run=dry_run, as_json=as_json)


@app.command("discard")
def discard_command(
    ids: Ids = None,
    *,
    reason: Annotated[str, typer.Option(help="Why their work will not be done.")],
    kind: Kind = None,
    order: Order = None,
    since: Since = None,
    all_matching: AllMatching = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Put dead letters away, for a reason. Failed orders stay failed. Exit code 1: one was refused."""
    if not reason.strip():
        raise LocalError("a reason is needed; nothing was discarded.")
    with dead_letters.reached(data) as system:
        chosen = _chosen(system, ids, Filter(State.OPEN, kind, order, _in_utc(since)), all_matching=all_matching)
        _resolve(system, chosen, dead_letters.discarding(reason, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


def _chosen(system: System, ids: list[int] | None, narrowed: Filter, *, all_matching: bool) -> list[int]:
    """The letters to resolve, the oldest first: those that were named, or those that the filters leave.

    Raises:
        LocalError: it is not clear which ones are meant.
    """
    if all_matching == bool(ids):
        raise LocalError("name the letters by their ids, or choose them with --all-matching (and filters).")
    if ids and narrowed != Filter():
        raise LocalError("filters go with --all-matching; without it, only the ids count.")
    return sorted(set(ids)) if ids else [letter.id for letter in reversed(dead_letters.found(system, narrowed))]


def _resolve(system: System, chosen: list[int], act: Act, *, dry_run: bool, as_json: bool) -> None:
    outcomes = dead_letters.resolve(system, chosen, act, Console(stderr=True))
    raise typer.Exit(dead_letters.tell(outcomes, dry_run=dry_run, as_json=as_json))


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
