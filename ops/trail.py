"""`orders trail`: one order's way, from HTTP to delivered: what the database knows of it, between the log's lines.

Lines belong to it by the ids of the requests that placed and moved it: an API line has one (`request_id`), a worker's
line those of its whole batch (`request_ids`). It reads, and writes nothing.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from rich.console import Console
from sqlalchemy import Connection

from models import errors, order_trail
from models.order_trail import EVENTS_SEARCHED, Mark
from ops import dead_letters
from ops.failures import LocalError

STDIN = Path("-")
# Of a line, what is told elsewhere or helps nobody here.
UNTOLD = {"event", "timestamp", "level", "process", "source", "request_id", "request_ids", "traceparents", "exception"}


@dataclass(frozen=True)
class Step:
    """One thing on the way: a line of the log (`process` wrote it), or what the database kept."""

    at: datetime
    process: str
    what: str


def run(data: Path, wanted: str, log: Path | None, console: Console, *, as_json: bool) -> None:
    """Print the way of the order with this id, or of the one that this request placed or moved.

    Raises:
        LocalError: there is no such order, no system to ask, or no such log.
    """
    with dead_letters.reached(data) as system, system.engine.begin() as connection:
        try:
            order_id, marks = _found(connection, wanted)
        except errors.NotFound:
            raise LocalError(
                f"no order has this id, and none of the newest {EVENTS_SEARCHED:,} events is of a request of this name."
            ) from None
    requests = {mark.request_id for mark in marks if mark.request_id}
    steps = sorted([*_kept(marks), *_logged(_files(data, log), requests)], key=lambda step: step.at)
    if as_json:
        sys.stdout.write(to_json({"order_id": order_id, "steps": [asdict(step) for step in steps]}).decode() + "\n")
    else:
        _show(order_id, requests, steps, console)


def _found(connection: Connection, wanted: str) -> tuple[UUID, Sequence[Mark]]:
    """The order of this id, or else of this request: clients name their requests by UUIDs as well.

    Raises:
        errors.NotFound: there is neither.
    """
    with suppress(ValueError, errors.NotFound):
        order_id = UUID(wanted)
        return order_id, order_trail.marks(connection, order_id)
    order_id = order_trail.order_of(connection, wanted)
    return order_id, order_trail.marks(connection, order_id)


def _files(data: Path, log: Path | None) -> list[Path]:
    """The given log, or that of `orders up`, its older part first."""
    if log is not None:
        if log != STDIN and not log.is_file():
            raise LocalError(f"{log} is no file.")
        return [log]
    current = data / "log" / "orders.log"
    return [path for path in (current.with_name(f"{current.name}.1"), current) if path.is_file()]


def _kept(marks: Iterable[Mark]) -> Iterator[Step]:
    for mark in marks:
        yield Step(mark.at, "database", mark.what)


def _logged(files: Iterable[Path], requests: AbstractSet[str]) -> Iterator[Step]:
    with ExitStack() as stack:
        for path in files:
            lines = sys.stdin if path == STDIN else stack.enter_context(path.open(encoding="utf-8", errors="replace"))
            for line in lines:
                # Most lines are of other orders: they are not worth being parsed.
                if any(request in line for request in requests):
                    yield from _step_of(line, requests)


def _step_of(line: str, requests: AbstractSet[str]) -> Iterator[Step]:
    """A line of ours about one of these requests, whatever whoever collects logs has put before it."""
    try:
        said = json.loads(line[line.index("{") :])
        at = datetime.fromisoformat(said["timestamp"])
        is_of_them = said.get("request_id") in requests or not requests.isdisjoint(said.get("request_ids") or ())
    except (ValueError, KeyError, TypeError):
        return
    # Without a zone it is not ours, and nobody knows what it came before.
    if is_of_them and at.tzinfo is not None:
        yield Step(at, str(said.get("process")), _told(said))


def _told(said: Mapping[str, Any]) -> str:
    facts = [f"{name}={value}" for name, value in said.items() if name not in UNTOLD and value is not None]
    return " ".join([str(said.get("event")), *facts])


def _show(order_id: UUID, requests: AbstractSet[str], steps: Iterable[Step], console: Console) -> None:
    def say(words: str) -> None:
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    say(f"order {order_id}")
    say(f"asked for by {', '.join(sorted(requests)) or 'no request'}")
    began = None
    for step in steps:
        began = began or step.at
        after = (step.at - began).total_seconds()
        say(f"{step.at:%H:%M:%S.%f} {after:+9.3f} s  {step.process:<9} {step.what}")
