"""`orders bench`: what can be measured. (`python -m benchmarks`, which is what `orders bench` starts.)"""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import accept, profile_accept, report
from ops.failures import LocalError
from ops.progress import Progress

app = typer.Typer(
    name="orders bench",
    help="Measure against the budgets of the design.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Seconds = Annotated[float, typer.Option(min=1, help="How long each turn lasts.")]
Connections = Annotated[int, typer.Option(min=1, max=150, help="How many clients order at once.")]
Users = Annotated[int, typer.Option(min=1, help="How many users there are.")]
Tokens = Annotated[int, typer.Option(min=1, max=100_000, help="How many of them order; their tokens are known.")]
AsJson = Annotated[bool, typer.Option("--json", help="Everything measured, as JSON on stdout.")]


@app.command("accept")
def accept_command(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contender gets.")] = 3,
    seconds: Seconds = 8.0,
    connections: Connections = 64,
    users: Users = 100_000,
    tokens: Tokens = 10_000,
    as_json: AsJson = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 1 if a budget is missed.")] = False,
) -> None:
    """Accepted orders per second beside pgbench and the usual tutorial app, and what an order costs."""
    options = accept.Options(rounds, seconds, connections, users, min(tokens, users))
    measured = accept.run(options, Progress(Console(stderr=True)))
    if as_json:
        typer.echo(json.dumps(report.as_json(measured)))
    else:
        report.show(measured, Console())
    raise typer.Exit(int(gate and not all(budget.is_met for budget in report.budgets(measured))))


@app.command("profile")
def profile_command(
    *, seconds: Seconds = 10.0, connections: Connections = 64, users: Users = 100_000, tokens: Tokens = 10_000
) -> None:
    """Where the microseconds of one accepted order go, inside one API process."""
    options = accept.Options(1, seconds, connections, users, min(tokens, users))
    profile_accept.run(options, Progress(Console(stderr=True)), Console())


if __name__ == "__main__":
    try:
        app(prog_name="orders bench")
    except LocalError as error:
        typer.echo(f"orders bench: {error}", err=True)
        sys.exit(1)
