"""What the fault campaign found, judged, for people (a table) and for programs (JSON)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos import ENDS, Facts
from benchmarks.faults import FAULTS

EMPTY_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Verdict:
    """One promise, what was found, and whether it was kept."""

    promise: str
    found: str
    is_kept: bool


def verdicts(facts: Facts) -> Sequence[Verdict]:
    lost, made_twice = facts.acknowledged - facts.there, facts.there - facts.acknowledged
    elsewhere = sum(number for status, number in facts.statuses.items() if status not in ENDS)
    missed = [fault for fault in FAULTS if not facts.damage.inflicted[fault]]
    seconds, acknowledged = facts.empty_after_seconds, len(facts.acknowledged)
    emptied = "never" if seconds is None else f"after {seconds:.1f} s"
    is_empty_in_time = seconds is not None and seconds <= EMPTY_SECONDS_MAX
    differ = f"{facts.replays_that_differ} of {facts.replays:,} differ"
    return [
        Verdict("every order is acknowledged", f"{acknowledged:,} of {facts.asked:,}", acknowledged == facts.asked),
        Verdict("no acknowledged order is lost", f"{len(lost)} lost", not lost),
        Verdict("no key made a second order", f"{len(made_twice)} more", not made_twice),
        Verdict("no order moved twice", f"{facts.moved_twice} did", facts.moved_twice == 0),
        Verdict("every order is delivered or cancelled", f"{elsewhere} are not", elsewhere == 0),
        Verdict("a retry gets the same bytes", differ, facts.replays_that_differ == 0),
        Verdict(f"the outbox is empty {EMPTY_SECONDS_MAX:.0f} s after the last fault", emptied, is_empty_in_time),
        Verdict("`orders check` is clean", ", ".join(facts.violated) or "clean", not facts.violated),
        Verdict("every kind of fault was inflicted", ", ".join(missed) or f"{facts.damage.total} faults", not missed),
    ]


def is_good(facts: Facts) -> bool:
    return all(verdict.is_kept for verdict in verdicts(facts))


def as_json(facts: Facts) -> dict[str, Any]:
    return {"good": is_good(facts), "verdicts": [asdict(each) for each in verdicts(facts)], **_figures(facts)}


def show(facts: Facts, console: Console) -> None:
    table = Table(title="The fault campaign")
    for heading in ("promise", "found", ""):
        table.add_column(heading)
    for verdict in verdicts(facts):
        table.add_row(verdict.promise, verdict.found, "[green]kept[/]" if verdict.is_kept else "[red]broken[/]")
    console.print(table)
    for name, figure in _figures(facts).items():
        shown = ", ".join(f"{key}: {value}" for key, value in figure.items()) if isinstance(figure, dict) else figure
        console.print(f"{name.replace('_', ' ')}: {shown or 'none'}", highlight=False)


def _figures(facts: Facts) -> dict[str, Any]:
    return {
        "statuses": dict(facts.statuses),
        "faults": dict(facts.damage.inflicted),
        "tried_again": facts.story.tried_again,
        "refused": dict(facts.story.refused),
        "unanswered": facts.story.unanswered,
        "cancellations": dict(facts.story.cancellations),
        "dead_letters": facts.dead_letters,
        "empty_after_seconds": facts.empty_after_seconds,
    }
