"""What a benchmark found, for people (tables) and for programs (JSON), beside the budgets of the design."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import typer
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Budget:
    """One line of DESIGN §11, and what was found. `at_least` says on which side of the limit the budget lies."""

    name: str
    found: float
    limit: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        return self.found >= self.limit if self.at_least else self.found <= self.limit


@dataclass(frozen=True)
class Findings:
    """`facts`: everything measured. `show` prints it, all but the budgets."""

    facts: Mapping[str, Any]
    budgets: Sequence[Budget]
    show: Callable[[Console], None]

    def as_json(self) -> dict[str, Any]:
        return {**self.facts, "budgets": [asdict(budget) | {"is_met": budget.is_met} for budget in self.budgets]}


def tell(found: Mapping[str, Findings], *, as_json: bool) -> None:
    """On stdout: each benchmark by its name, and all budgets at the end; as JSON, one alone without its name."""
    if as_json:
        told = {name: each.as_json() for name, each in found.items()}
        typer.echo(json.dumps(told if len(told) > 1 else next(iter(told.values()))))
        return
    console = Console()
    for each in found.values():
        each.show(console)
    table = Table(title="Budgets (DESIGN §11)")
    for heading in ("what", "found", "budget", ""):
        table.add_column(heading)
    for each in found.values():
        for budget in each.budgets:
            sign = "≥" if budget.at_least else "≤"
            mark = "[green]met[/]" if budget.is_met else "[red]missed[/]"
            table.add_row(budget.name, f"{budget.found:.2f}", f"{sign} {budget.limit:g}", mark)
        table.add_section()
    console.print(table)


def are_within_budget(found: Mapping[str, Findings]) -> bool:
    return all(budget.is_met for each in found.values() for budget in each.budgets)
