"""What the benchmark of the analytics found, beside the budgets."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.analytics import Measured
from benchmarks.analytics_asking import LARGE, SMALL, Times
from benchmarks.findings import Budget, Findings

ANSWER_RATIO_MAX = 1.3
# "Flat", as this benchmark takes it: the larger indexes of the larger system may cost so much more.
FOLD_RATIO_MAX = 1.3


def findings(measured: Measured) -> Findings:
    return Findings(asdict(measured), _budgets(measured), partial(_show, measured))


def _budgets(measured: Measured) -> list[Budget]:
    small, large = (measured.folds[name].us_per_event for name in (SMALL, LARGE))
    return [
        *(Budget(name, times.ratio, ANSWER_RATIO_MAX, at_least=False) for name, times in measured.flat.items()),
        Budget("fold of an event", large / small, FOLD_RATIO_MAX, at_least=False),
    ]


def _show(measured: Measured, console: Console) -> None:
    """Medians."""
    options = measured.options
    table = Table(title=f"Answers in ms, at {options.small:,} and at {options.orders:,} orders")
    table.add_column("", no_wrap=True)
    for heading in ("small", "large", "÷", "in the database: small", "large", "÷", "raw GROUP BY, large"):
        table.add_column(heading, justify="right")
    for name, times in {**measured.flat, **measured.live}.items():
        raw = measured.raw_ms.get(name)
        alone = measured.in_database[name]
        table.add_row(name, *_cells(times), *_cells(alone), "" if raw is None else f"{raw:,.0f}")
    console.print(table)
    for name, fold in measured.folds.items():
        console.print(f"fold, {name}: {fold.us_per_event:.2f} µs for each of {fold.events:,} events")
    for name, seconds in measured.computed_ahead_seconds.items():
        console.print(f"standard windows computed ahead, {name}: {seconds:.1f} s for all five")
    if measured.seeded:
        console.print(f"seeding the large one: {_seeded(measured.seeded)}")
    console.print(f"bytes per order on the disk: {sum(measured.bytes_per_order.values()):,.0f}")
    for name, size in measured.bytes_per_order.items():
        console.print(f"  {name} {size:,.0f}")
    for name, size in measured.index_bytes_per_order.items():
        console.print(f"  of these, {name} {size:,.0f}")
    console.print(f"orders check, large: {sum(measured.check_seconds.values()):.0f} s")


def _cells(times: Times) -> tuple[str, ...]:
    return f"{times.small_ms:.2f}", f"{times.large_ms:.2f}", f"{times.ratio:.2f}"


def _seeded(noted: Mapping[str, Any]) -> str:
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in noted["seconds"].items())
    rate, fold = noted["orders_per_second"], noted["fold_us_per_event"]
    return f"{rate:,.0f} orders/s in all ({took}), fold {fold:.2f} µs an event"
