"""`orders check`: every guarantee that rows can show, examined on live data in one snapshot.

It reads and never writes, locks nothing, and names what it finds; anything found is exit code 1.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from models.invariants import INVARIANTS, Finding, Invariant, examine, in_one_snapshot
from models.lifecycle import Policy
from ops.failures import LocalError
from ops.local import which_system
from runtime import database
from runtime.settings import Settings

RUNNING, CLEAN, VIOLATED = "[dim]…[/]", "[green]✓[/]", "[red]✗[/]"


def run(data: Path, names: Sequence[str], console: Console, *, as_json: bool) -> int:
    """Print the findings; returns 1 if anything is violated.

    Raises:
        LocalError: there is no invariant of that name, or no system to examine.
    """
    chosen = _chosen(names)
    configuration = which_system.configuration(data)
    findings = []
    shown = Console(quiet=True) if as_json else console
    with _table(shown) as table:
        tasks = {invariant.name: _row(table, invariant) for invariant in chosen}
        for finding in examined(configuration, chosen):
            _fill(table, tasks[finding.invariant.name], finding)
            findings.append(finding)
    if as_json:
        typer.echo(json.dumps(as_document(findings)))
    else:
        _explain(findings, console)
    return int(not all(finding.is_clean for finding in findings))


def examined(configuration: Settings, invariants: Sequence[Invariant] = INVARIANTS) -> Iterator[Finding]:
    """Findings about one moment, each as soon as it is there."""
    engine = database.engine(configuration, database.Role.API)
    policy = Policy.of(configuration)
    try:
        with in_one_snapshot(engine.connect()) as connection, connection.begin():
            for invariant in invariants:
                yield examine(connection, invariant, policy)
    finally:
        engine.dispose()


def as_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The shape of `--json`."""
    return {
        "clean": all(finding.is_clean for finding in findings),
        "invariants": [
            {
                "name": finding.invariant.name,
                "guarantee": finding.invariant.guarantee,
                "holds": finding.invariant.holds,
                "clean": finding.is_clean,
                "violations": finding.violations,
                "violators": finding.violators,
                "remedy": None if finding.is_clean else finding.invariant.remedy,
                "seconds": round(finding.seconds, 3),
            }
            for finding in findings
        ],
    }


def _chosen(names: Sequence[str]) -> Sequence[Invariant]:
    known = {invariant.name: invariant for invariant in INVARIANTS}
    for name in names:
        if name not in known:
            raise LocalError(f"there is no invariant {name!r}. There are: {', '.join(known)}.")
    return [invariant for invariant in INVARIANTS if not names or invariant.name in names]


def _table(console: Console) -> Progress:
    """A row for each invariant, whose bar moves while it is examined; on a terminal it fills before one's eyes."""
    return Progress(
        TextColumn("{task.fields[mark]}"),
        TextColumn("[dim]{task.fields[guarantee]}[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[found]}", justify="right"),
        console=console,
    )


def _row(table: Progress, invariant: Invariant) -> TaskID:
    return table.add_task(invariant.name, total=None, mark=RUNNING, guarantee=invariant.guarantee, found="")


def _fill(table: Progress, task: TaskID, finding: Finding) -> None:
    verdict = "clean" if finding.is_clean else f"[red]{finding.violations:,} violated[/]"
    table.update(
        task,
        total=1,
        completed=1,
        mark=CLEAN if finding.is_clean else VIOLATED,
        found=f"{verdict} [dim]{finding.seconds:.2f} s[/]",
    )


def _explain(findings: Sequence[Finding], console: Console) -> None:
    """What each violation is, who is concerned, and what to do about it."""
    for finding in findings:
        if finding.is_clean:
            continue
        invariant = finding.invariant
        console.print(
            f"\n[red]{invariant.name}[/] ({invariant.guarantee}): it does not hold that {escape(invariant.holds)}."
        )
        for violator in finding.violators:
            console.print(f"  {escape(violator)}", soft_wrap=True, highlight=False)
        if more := finding.violations - len(finding.violators):
            console.print(f"  … and {more:,} more")
        console.print(escape(invariant.remedy))
