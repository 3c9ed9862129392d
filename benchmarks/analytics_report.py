"""What the benchmark of the analytics found, for people (tables) and for programs (JSON), beside the budgets."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.analytics import LARGE, SMALL, Measured, Times
from benchmarks.report import Budget, show_budgets

ANSWER_RATIO_MAX = 1.3
# "Flat", as this benchmark takes it: the larger indexes of the larger system may cost so much more.
FOLD_RATIO_MAX = 1.3


def budgets(measured: Measured) -> list[Budget]:
    small, large = (measured.folds[name].us_per_event for name in (SMALL, LARGE))
    return [
        *(Budget(name, times.ratio, ANSWER_RATIO_MAX, at_least=False) for name, times in measured.flat.items()),
        Budget("fold of an event", large / small, FOLD_RATIO_MAX, at_least=False),
    ]


def as_json(measured: Measured) -> dict[str, Any]:
    return asdict(measured) | {
        "budgets": [asdict(budget) | {"is_met": budget.is_met} for budget in budgets(measured)],
    }


def show(measured: Measured, console: Console) -> None:
    """Medians."""
    options = measured.options
    table = Table(title=f"Answers in ms, at {options.small:,} and at {options.orders:,} orders")
    table.add_column("", no_wrap=True)
    for heading in ("small", "large", "large ÷ small", "raw GROUP BY, large"):
        table.add_column(heading, justify="right")
    for name, times in {**measured.flat, **measured.live}.items():
        table.add_row(name, *_cells(times))
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
    show_budgets(budgets(measured), console)


def _cells(times: Times) -> tuple[str, ...]:
    raw = "" if times.raw_ms is None else f"{times.raw_ms:,.0f}"
    return f"{times.small_ms:.2f}", f"{times.large_ms:.2f}", f"{times.ratio:.2f}", raw


def _seeded(noted: Mapping[str, Any]) -> str:
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in noted["seconds"].items())
    rate, fold = noted["orders_per_second"], noted["fold_us_per_event"]
    return f"{rate:,.0f} orders/s in all ({took}), fold {fold:.2f} µs an event"
