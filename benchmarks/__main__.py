"""`orders bench`: what can be measured. (`python -m benchmarks`, which is what `orders bench` starts.)"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import (
    accept,
    analytics,
    analytics_report,
    chaos,
    chaos_report,
    pipeline,
    pipeline_report,
    profile_accept,
    report,
)
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


@app.command("pipeline")
def pipeline_command(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contender gets.")] = 3,
    seconds: Seconds = 6.0,
    backlog: Annotated[int, typer.Option(min=100, help="How many orders wait for our worker node.")] = 50_000,
    tutorial_backlog: Annotated[int, typer.Option(min=100, help="How many wait for the tutorial's.")] = 2_000,
    singles: Annotated[int, typer.Option(min=1, help="How many orders are followed one at a time.")] = 100,
    connections: Connections = 64,
    users: Users = 10_000,
    tokens: Tokens = 1_000,
    as_json: AsJson = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 1 if a budget is missed.")] = False,
) -> None:
    """How soon orders move, how many a second beside one task per order, and what their whole way costs."""
    options = pipeline.Options(
        rounds, seconds, backlog, tutorial_backlog, singles, connections, users, min(tokens, users)
    )
    measured = pipeline.run(options, Progress(Console(stderr=True)))
    if as_json:
        typer.echo(json.dumps(pipeline_report.as_json(measured)))
    else:
        pipeline_report.show(measured, Console())
    raise typer.Exit(int(gate and not all(budget.is_met for budget in pipeline_report.budgets(measured))))


@app.command("analytics")
def analytics_command(
    *,
    orders: Annotated[int, typer.Option(min=1000, help="How many there are in the large database.")] = 10_000_000,
    small: Annotated[int, typer.Option(min=1000, help="How many in the small one.")] = 10_000,
    users: Annotated[int, typer.Option(min=100, help="Whose they are, in the large one.")] = 100_000,
    days: Annotated[int, typer.Option(min=366, help="How far back they reach.")] = 730,
    rounds: Annotated[int, typer.Option(min=1, help="How often each question is put to both.")] = 100,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes seed.")] = os.cpu_count() or 1,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Keep both databases here, and use them if they are there."),
    ] = None,
    check: Annotated[bool, typer.Option(help="Run `orders check` on the large one at the end.")] = True,
    as_json: AsJson = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit code 1 if a budget is missed.")] = False,
) -> None:
    """What an answer costs at ten thousand and at ten million orders. Ten million take some 20 GB of disk."""
    options = analytics.Options(orders, small, users, days, rounds, workers, check)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as temporary:
        measured = analytics.run(data or Path(temporary), options, Progress(console), console)
    if as_json:
        typer.echo(json.dumps(analytics_report.as_json(measured)))
    else:
        analytics_report.show(measured, Console())
    raise typer.Exit(int(gate and not all(budget.is_met for budget in analytics_report.budgets(measured))))


@app.command("chaos")
def chaos_command(
    *,
    orders: Annotated[int, typer.Option(min=1, help="How many orders are placed.")] = 20_000,
    seconds: Annotated[float, typer.Option(min=1, help="For how long something is killed every second.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Another number, another sequence of faults and orders.")] = 1,
    connections: Annotated[int, typer.Option(min=1, max=64, help="How many clients order at once.")] = 16,
    replays: Annotated[int, typer.Option(min=0, help="How many orders are asked for once more.")] = 1000,
    lease: Annotated[float, typer.Option(min=1, help="LEASE of the system, in seconds.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Kill something with -9 every second while orders are placed; exit code 1 if any promise is broken."""
    facts = chaos.run(chaos.Options(orders, seconds, seed, connections, replays, lease), Console(stderr=True))
    if as_json:
        typer.echo(json.dumps(chaos_report.as_json(facts)))
    else:
        chaos_report.show(facts, Console())
    raise typer.Exit(int(not chaos_report.is_good(facts)))


if __name__ == "__main__":
    try:
        app(prog_name="orders bench")
    except LocalError as error:
        typer.echo(f"orders bench: {error}", err=True)
        sys.exit(1)
