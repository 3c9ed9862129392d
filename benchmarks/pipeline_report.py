"""What the pipeline's benchmark found, beside the budgets."""

import statistics
from dataclasses import asdict
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.accept_report import OURS, TUTORIAL
from benchmarks.findings import Budget, Findings
from benchmarks.load import percentile_ms
from benchmarks.pipeline import ACCEPTED, Measured

SHARES = (0.5, 0.9, 0.99)


def findings(measured: Measured) -> Findings:
    return Findings(asdict(measured), _budgets(measured), partial(_show, measured))


def _budgets(measured: Measured) -> list[Budget]:
    rate = {name: statistics.median(rates) for name, rates in measured.rates.items()}
    return [
        Budget("commit → confirmed, idle, p50 ms", statistics.median(measured.confirmed_ms), 40, at_least=False),
        Budget("moved from a backlog ÷ tutorial", rate[OURS] / rate[TUTORIAL], 30, at_least=True),
        Budget("moved from a backlog ÷ accepted", rate[OURS] / rate[ACCEPTED], 2, at_least=True),
        Budget("CPU ms per order, accepted → delivered", _cost_us(measured) / 1000, 1, at_least=False),
    ]


def _show(measured: Measured, console: Console) -> None:
    rates = Table(title="Orders per second")
    rates.add_column("")
    rates.add_column("median", justify="right")
    rates.add_column("in the rounds", justify="right")
    for name, found in measured.rates.items():
        label = name if name == ACCEPTED else f"confirmed → processing, {name}"
        rates.add_row(label, f"{statistics.median(found):,.0f}", ", ".join(f"{each:,.0f}" for each in found))
    console.print(rates)
    costs = Table(title="CPU µs per order, accepted → delivered")
    for name in (*measured.costs[0].cpu_us_per_order, "all but load"):
        costs.add_column(name, justify="right")
    for cost in measured.costs:
        costs.add_row(*(f"{spent:,.0f}" for spent in (*cost.cpu_us_per_order.values(), cost.ours_us)))
    console.print(costs)
    in_order = sorted(measured.confirmed_ms)
    spread = ", ".join(f"p{share:.0%} {percentile_ms([ms / 1000 for ms in in_order], share):.1f}" for share in SHARES)
    console.print(f"commit → confirmed, one at a time, ms: {spread.replace('%', '')}", highlight=False)


def _cost_us(measured: Measured) -> float:
    return statistics.median(cost.ours_us for cost in measured.costs)
