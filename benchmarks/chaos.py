"""`orders bench chaos`: the fault campaign. Orders are placed while something is killed with -9 every second.

A whole system of its own runs with two of everything, and the killing ends when every order is acknowledged. Then it
is left alone, and asked: is every acknowledged order there, did each move once, are retries still answered with the
same bytes, does every guarantee hold?
"""

import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks import faults, stubborn_clients, whole_system
from benchmarks.faults import Damage
from benchmarks.stubborn_clients import Acknowledged, Story
from benchmarks.whole_system import WholeSystem
from models.lifecycle import Status
from ops import check
from ops.failures import LocalError
from ops.local import which_system
from ops.local.client import Client
from ops.local.profile import Numbers
from runtime import settings

PATIENCE_SECONDS = 300.0
POLL_SECONDS = 0.2
ENDS = {Status.DELIVERED, Status.CANCELLED}

_WAITING = """
    SELECT (SELECT count(*) FROM outbox WHERE order_id IS NOT NULL), count(*) FROM orders WHERE status = ANY(%s)
"""
_TWICE = """
    SELECT count(*) FROM (SELECT FROM order_events GROUP BY order_id, to_status HAVING count(*) > 1) AS twice
"""


@dataclass(frozen=True)
class Options:
    """The command line of `orders bench chaos`."""

    orders: int
    seconds: float
    seed: int = 1
    connections: int = 16
    replays: int = 1000
    lease_seconds: float = 30.0
    numbers: Numbers = Numbers(api=2, worker=2, relay=2, beat=2)  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class Facts:
    """What was found when all was over. Order ids as the clients know them, and as the database does."""

    asked: int
    acknowledged: frozenset[str]
    there: frozenset[str]
    statuses: Mapping[str, int]
    moved_twice: int
    dead_letters: int
    replays: int
    replays_that_differ: int
    violated: Sequence[str]
    empty_after_seconds: float | None
    damage: Damage
    story: Story


def run(options: Options, console: Console) -> Facts:
    """The whole campaign.

    Raises:
        LocalError: the system did not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="orders-chaos-") as directory,
        _bars(console) as bars,
        whole_system.running(Path(directory), options.numbers, LEASE=str(options.lease_seconds)) as system,
    ):
        placed = bars.add_task("orders acknowledged", total=options.orders)
        killed = bars.add_task("faults inflicted", total=None)
        ended = bars.add_task("orders at their end", total=options.orders)
        token = _token(system)
        with faults.raining(system, options.seconds, options.seed, _shown(bars, killed)) as damage:
            story = stubborn_clients.place(
                system.summary["api"],
                token,
                options.orders,
                options.seconds,
                options.connections,
                options.seed,
                _shown(bars, placed),
            )
        with psycopg.connect(system.summary["database"], autocommit=True) as database:
            empty_after = _until_empty(database, damage, _shown(bars, ended))
            return _facts(options, system, database, story, damage, empty_after)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _shown(bars: Progress, task: TaskID) -> Callable[[int], None]:
    return lambda completed: bars.update(task, completed=completed)


def _token(system: WholeSystem) -> str:
    """Insists as everybody does here: the API may be dying at this moment."""
    client = Client(system.summary["api"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = client.post("/v1/auth/login", system.summary["users"]["customer"])
        if answer.body and "access_token" in answer.body:
            return str(answer.body["access_token"])
        time.sleep(POLL_SECONDS)
    raise LocalError("nobody can log in.")


def _until_empty(database: psycopg.Connection, damage: Damage, done: Callable[[int], None]) -> float | None:
    """Seconds from the last fault until no order has work waiting; None if that took longer than our patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        [waiting, ended] = _row(database, _WAITING, [sorted(ENDS)])
        done(ended)
        if waiting == 0:
            return time.monotonic() - damage.last_at
        time.sleep(POLL_SECONDS)
    return None


def _facts(
    options: Options,
    system: WholeSystem,
    database: psycopg.Connection,
    story: Story,
    damage: Damage,
    empty_after: float | None,
) -> Facts:
    statuses: dict[str, int] = dict(database.execute("SELECT status, count(*) FROM orders GROUP BY status").fetchall())
    sample = _sample(story.acknowledged, options)
    configuration = settings.read(which_system.environment(system.data, given={}))
    return Facts(
        asked=options.orders,
        acknowledged=frozenset(each.order_id for each in story.acknowledged),
        there=frozenset(str(row[0]) for row in database.execute("SELECT id FROM orders")),
        statuses=statuses,
        moved_twice=_row(database, _TWICE)[0],
        dead_letters=_row(database, "SELECT count(*) FROM dead_letters")[0],
        replays=len(sample),
        replays_that_differ=stubborn_clients.replays_that_differ(system.summary["api"], _token(system), sample),
        violated=[finding.invariant.name for finding in check.examined(configuration) if not finding.is_clean],
        empty_after_seconds=empty_after,
        damage=damage,
        story=story,
    )


def _sample(acknowledged: Sequence[Acknowledged], options: Options) -> Sequence[Acknowledged]:
    return random.Random(options.seed).sample(acknowledged, min(options.replays, len(acknowledged)))  # noqa: S311


def _row(database: psycopg.Connection, statement: str, parameters: Sequence[object] = ()) -> Sequence[Any]:
    [row] = database.execute(statement.encode(), parameters).fetchall()
    return row
