"""`orders dead-letters`: what the API offers to staff, for somebody at a terminal of the machine, and for many at once.

It acts on the configured system, or on what `orders up` runs in the data directory, with the API's database role and
through the same verbs: it can do no more than the API, and what it queues is done by the workers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from sqlalchemy import Connection, Engine

from models import dead_letter_desk, dead_letters
from models.dead_letter_desk import Resolver
from models.dead_letters import Filter, Letter, Resolution
from models.errors import LetterResolved, OrderPipelineError
from models.lifecycle import Policy
from ops import operator
from ops.local import which_system
from runtime import database
from runtime.database import Role

LETTERS_PER_PAGE = 500
MEANING = {
    Resolution.REPLAYED: "the work is queued again",
    Resolution.RETRIED: "its failed order is asked back to pending",
    Resolution.MOOT: "nothing is left to do",
    Resolution.DISCARDED: "it is put away, and its work will not be done",
}


@dataclass(frozen=True)
class System:
    """The system whose dead letters these are: its database, as the API may use it, and the rules it goes by."""

    engine: Engine
    policy: Policy


@dataclass(frozen=True)
class Outcome:
    """What became, or with `--dry-run` would become, of one letter: one of `how` and `refusal` is there."""

    id: int
    how: Resolution | None
    refusal: str | None


Act = Callable[[Connection, int], Resolution | None]


@contextmanager
def reached(data: Path) -> Iterator[System]:
    """The system to act on, for as long as the block lasts.

    Raises:
        LocalError: there is none.
    """
    configuration = which_system.configuration(data)
    engine = database.engine(configuration, Role.API)
    try:
        yield System(engine, Policy.of(configuration))
    finally:
        engine.dispose()


def found(system: System, narrowed: Filter, limit: int | None = None) -> list[Letter]:
    """The letters that match, the newest first; all of them, unless there is a limit."""
    letters: list[Letter] = []
    while limit is None or len(letters) < limit:
        wanted = LETTERS_PER_PAGE if limit is None else min(LETTERS_PER_PAGE, limit - len(letters))
        with system.engine.begin() as connection:
            page = dead_letters.page(connection, narrowed, letters[-1].id if letters else None, wanted)
        letters += page
        if len(page) < wanted:
            break
    return letters


def get(system: System, letter_id: int) -> Letter:
    with system.engine.begin() as connection:
        return dead_letters.get(connection, letter_id)


def replaying(policy: Policy, reason: str | None, *, dry_run: bool) -> Act:
    """Replay one letter, or only say what that would do."""
    by = Resolver(operator.name())

    def act(connection: Connection, letter_id: int) -> Resolution | None:
        if not dry_run:
            return dead_letter_desk.replay(connection, letter_id, by, policy, reason).resolved_how
        return dead_letter_desk.foresee(connection, dead_letters.get(connection, letter_id), policy)

    return act


def discarding(reason: str, *, dry_run: bool) -> Act:
    """Discard one letter, or only say whether that could be done."""
    by = Resolver(operator.name())

    def act(connection: Connection, letter_id: int) -> Resolution | None:
        if not dry_run:
            return dead_letter_desk.discard(connection, letter_id, by, reason).resolved_how
        how = dead_letters.get(connection, letter_id).resolved_how
        if how not in (None, Resolution.DISCARDED):
            raise LetterResolved(how)
        return Resolution.DISCARDED

    return act


def resolve(system: System, ids: Sequence[int], act: Act, console: Console) -> list[Outcome]:
    """Each letter in a transaction of its own: one that is refused stops no other. Many have a progress bar."""
    is_shown = console.is_terminal and len(ids) > 1
    return [
        _one(system, letter_id, act) for letter_id in track(ids, "Dead letters", console=console, disable=not is_shown)
    ]


def _one(system: System, letter_id: int, act: Act) -> Outcome:
    try:
        with system.engine.begin() as connection:
            return Outcome(letter_id, act(connection, letter_id), None)
    except OrderPipelineError as refusal:
        return Outcome(letter_id, None, str(refusal))


def tell(outcomes: Sequence[Outcome], *, dry_run: bool, as_json: bool) -> int:
    """Say what became of each; returns the exit code: 1 if any was refused."""
    if as_json:
        typer.echo(to_json([asdict(outcome) for outcome in outcomes]).decode())
    for outcome in () if as_json else outcomes:
        if outcome.how is None:
            typer.echo(f"{outcome.id}: {outcome.refusal}", err=True)
        else:
            would = "would be " if dry_run else ""
            typer.echo(f"{outcome.id}: {would}{outcome.how}: {MEANING[outcome.how]}")
    if not outcomes and not as_json:
        typer.echo("no dead letter matches")
    return int(any(outcome.how is None for outcome in outcomes))


def document(letter: Letter) -> dict[str, Any]:
    """A letter in the words of the API."""
    return asdict(letter)


def as_json(value: object) -> str:
    return to_json(value).decode()


def show_list(letters: Sequence[Letter], console: Console) -> None:
    if not letters:
        console.print("no dead letter matches")
        return
    table = Table("id", "task", "order", "tries", "given up at", "resolved", "error", box=None, pad_edge=False)
    for letter in letters:
        given_up = letter.last_at.isoformat(" ", "seconds")
        resolved = letter.resolved_how or "–"
        cells = (letter.id, letter.kind, letter.order_id or "–", letter.attempts, given_up, resolved, letter.error)
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def show(letter: Letter, console: Console) -> None:
    for name, value in document(letter).items():
        if name != "traceback" and value is not None:
            console.print(f"{name:<16} {value}", markup=False, highlight=False, soft_wrap=True)
    if letter.traceback:
        console.print(f"\n{letter.traceback}", markup=False, highlight=False, soft_wrap=True)
