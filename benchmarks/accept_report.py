"""What the benchmark of accepting orders found, beside the budgets of the design.

On a machine that does other things too, rates depend on how many processes ask for the CPU: pgbench's 64 backends get a
larger share than our handful. The ratio by CPU per order does not; in a quiet run the two agreed (docs/benchmarks.md).
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.accept import Measured, Score
from benchmarks.findings import Budget, Findings

OURS, PGBENCH, TUTORIAL = "ours", "pgbench", "tutorial"
YARDSTICKS = (PGBENCH, TUTORIAL)
GROUPS = ("app", "postgres", "valkey", "load")


def findings(measured: Measured) -> Findings:
    facts = {
        "flush_ms": measured.flush_ms,
        "scores": {name: [asdict(score) for score in scores] for name, scores in measured.scores.items()},
        "orders_per_second": {name: _rate(measured, name) for name in measured.scores},
    }
    return Findings(facts, _budgets(measured), partial(_show, measured))


def _budgets(measured: Measured) -> list[Budget]:
    def ratio(yardstick: str) -> float:
        return _rate(measured, OURS) / _rate(measured, yardstick)

    statements = _median(measured.scores[OURS], lambda score: score.statements_per_order)
    return [
        Budget("ours ÷ pgbench", ratio(PGBENCH), 0.5, at_least=True),
        Budget("ours ÷ tutorial", ratio(TUTORIAL), 15, at_least=True),
        Budget("statements per order", statements, 0.5, at_least=False),
    ]


def _show(measured: Measured, console: Console) -> None:
    """Medians over the rounds."""
    table = Table(title=f"Accepting orders · a flush takes {measured.flush_ms:.2f} ms here")
    table.add_column("median of the rounds")
    for name in measured.scores:
        table.add_column(name, justify="right")
    rows: list[tuple[str, Callable[[Score], float | None], str]] = [
        ("orders/s", lambda score: score.orders_per_second, "{:,.0f}"),
        ("p50 ms", lambda score: score.played.p50_ms, "{:.1f}"),
        ("p99 ms", lambda score: score.played.p99_ms, "{:.1f}"),
        ("statements per order", lambda score: score.statements_per_order, "{:.2f}"),
        ("orders per batch", lambda score: score.orders_per_batch, "{:.1f}"),
        ("WAL bytes per order", lambda score: score.wal_bytes_per_order, "{:,.0f}"),
    ]
    rows += [(f"CPU µs per order, {group}", _cpu_of(group), "{:,.0f}") for group in GROUPS]
    rows.append(("CPU µs per order, all", _cpu, "{:,.0f}"))
    for label, value, form in rows:
        table.add_row(label, *(_cell(scores, value, form) for scores in measured.scores.values()))
    table.add_row("share of process 1", *(_shares(scores) for scores in measured.scores.values()))
    console.print(table)
    _show_ratios(measured, console)


def _show_ratios(measured: Measured, console: Console) -> None:
    for yardstick in YARDSTICKS:
        pairs = zip(measured.scores[OURS], measured.scores[yardstick], strict=True)
        ratios = [our.orders_per_second / their.orders_per_second for our, their in pairs]
        by_cpu = _median(measured.scores[yardstick], _cpu) / _median(measured.scores[OURS], _cpu)
        listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        console.print(f"ours ÷ {yardstick}: {listed} in the rounds; by CPU per order {by_cpu:.2f}")


def _rate(measured: Measured, name: str) -> float:
    return _median(measured.scores[name], lambda score: score.orders_per_second)


def _median(scores: Sequence[Score], value: Callable[[Score], float]) -> float:
    return statistics.median(map(value, scores))


def _cell(scores: Sequence[Score], value: Callable[[Score], float | None], form: str) -> str:
    found = [each for each in map(value, scores) if each is not None]
    return form.format(statistics.median(found)) if found else "–"


def _cpu(score: Score) -> float:
    return sum(score.cpu_us_per_order.values())


def _cpu_of(group: str) -> Callable[[Score], float | None]:
    return lambda score: score.cpu_us_per_order.get(group)


def _shares(scores: Sequence[Score]) -> str:
    """How evenly the kernel spread the connections over the processes, in each round."""
    splits = [score.played.split for score in scores if score.played.split]
    return " ".join(f"{split[0] / sum(split):.0%}" for split in splits) or "–"
