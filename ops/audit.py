"""`orders audit`: reading the audit log, and examining whether it is still what was recorded.

Both read the configured system, or what `orders up` runs in the data directory, and write nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from models import audit_log, audit_verification
from models.audit_chain import Head
from models.audit_log import Entry, Filter
from models.audit_verification import MEANING, Finding, Verdict
from models.invariants import in_one_snapshot
from ops.failures import LocalError
from ops.local import which_system
from runtime import database
from runtime.settings import Settings

ENTRIES_PER_PAGE = 500


@contextmanager
def snapshot(data: Path) -> Iterator[tuple[Connection, Settings]]:
    """One moment of the system to read. Seals can be read by the workers' role, and by no other of the services.

    Raises:
        LocalError: there is no system.
    """
    configuration = which_system.configuration(data)
    engine = database.engine(configuration, database.Role.WORKER)
    try:
        with in_one_snapshot(engine.connect()) as connection, connection.begin():
            yield connection, configuration
    finally:
        engine.dispose()


def found(connection: Connection, narrowed: Filter, limit: int) -> Iterator[Entry]:
    """The events that match, the newest first."""
    before = None
    while limit > 0:
        page = audit_log.page(connection, narrowed, before, min(limit, ENTRIES_PER_PAGE))
        yield from page
        if len(page) < ENTRIES_PER_PAGE:
            return
        before, limit = page[-1].id, limit - len(page)


def parse_head(spelled: str | None) -> Head | None:
    """
    Raises:
        LocalError: this is no head.
    """
    try:
        return None if spelled is None else Head.parse(spelled)
    except ValueError:
        raise LocalError("a head is what `orders audit verify` prints: POSITION:64 hexadecimal digits.") from None


def verify(data: Path, noted: Head | None) -> Verdict:
    with snapshot(data) as (connection, configuration):
        return audit_verification.verify(connection, configuration, noted)


def show_list(entries: Sequence[Entry], console: Console) -> None:
    if not entries:
        console.print("no security event matches")
        return
    table = Table("at", "event", "account", "by", "from", "request", "facts", box=None, pad_edge=False)
    for entry in entries:
        facts = " ".join(f"{name}={value}" for name, value in sorted(entry.facts.items()))
        cells = (entry.at.isoformat(" ", "seconds"), entry.event, entry.user_id, entry.actor, entry.client_address)
        table.add_row(*(escape(str(cell or "–")) for cell in (*cells, entry.request_id, facts)))
    console.print(table)


def tell(verdict: Verdict, *, as_json: bool) -> int:
    """Say what verification came to; returns the exit code: 1 if anything is not as it was recorded."""
    if as_json:
        typer.echo(to_json(_document(verdict)).decode())
        return int(verdict.faults > 0)
    for finding in verdict.findings:
        typer.echo(_sentence(finding), err=True)
    if verdict.faults:
        typer.echo(f"{verdict.faults} faults in {verdict.events} sealed events", err=True)
    else:
        typer.echo(f"{verdict.events} sealed events are as they were recorded; {verdict.waiting} wait for their seal")
    typer.echo(f"head {verdict.head}")
    return int(verdict.faults > 0)


def _sentence(finding: Finding) -> str:
    place = "" if finding.position is None else f"position {finding.position}: "
    event = "" if finding.event_id is None else f"event {finding.event_id}: "
    return f"{place}{event}{finding.fault}: {MEANING[finding.fault]}"


def _document(verdict: Verdict) -> dict[str, Any]:
    """The shape of `--json`."""
    return {
        "clean": verdict.faults == 0,
        "events": verdict.events,
        "waiting": verdict.waiting,
        "head": str(verdict.head),
        "faults": verdict.faults,
        "findings": [asdict(finding) for finding in verdict.findings],
    }
