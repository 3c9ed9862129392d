"""`orders bench`: what can be measured. (`python -m benchmarks`, which is what `orders bench` starts.)"""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from benchmarks import (
    accept,
    accept_report,
    analytics,
    analytics_report,
    chaos,
    chaos_report,
    pipeline,
    pipeline_report,
    profile_accept,
)
from benchmarks.findings import Findings, are_within_budget, tell
from ops.failures import LocalError
from ops.progress import Progress

app = typer.Typer(
    name="orders bench",
    help="Measure against the budgets of the design.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# What is measured where nothing else is asked for.
ACCEPT, PIPELINE, ANALYTICS = accept.Options(), pipeline.Options(), analytics.Options()

Seconds = Annotated[float, typer.Option(min=1, help="How long each turn lasts.")]
Connections = Annotated[int, typer.Option(min=1, max=150, help="How many clients order at once.")]
Users = Annotated[int, typer.Option(min=1, help="How many users there are.")]
Tokens = Annotated[int, typer.Option(min=1, max=100_000, help="How many of them order; their tokens are known.")]
AsJson = Annotated[bool, typer.Option("--json", help="Everything measured, as JSON on stdout.")]
Gate = Annotated[bool, typer.Option("--gate", help="Exit code 1 if a budget is missed.")]
Orders = Annotated[int, typer.Option(min=1000, help="How many there are in the large database.")]
Kept = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Keep both databases here, and use them if they are there.")
]


@app.command("accept")
def accept_command(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contender gets.")] = ACCEPT.rounds,
    seconds: Seconds = ACCEPT.seconds,
    connections: Connections = ACCEPT.connections,
    users: Users = ACCEPT.users,
    tokens: Tokens = ACCEPT.tokens,
    as_json: AsJson = False,
    gate: Gate = False,
) -> None:
    """Accepted orders per second beside pgbench and the usual tutorial app, and what an order costs."""
    options = accept.Options(rounds, seconds, connections, users, min(tokens, users))
    measured = accept.run(options, Progress(Console(stderr=True)))
    _end({"accept": accept_report.findings(measured)}, as_json=as_json, gate=gate)


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
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contender gets.")] = PIPELINE.rounds,
    seconds: Seconds = PIPELINE.seconds,
    backlog: Annotated[int, typer.Option(min=100, help="How many orders wait for our worker node.")] = PIPELINE.backlog,
    tutorial_backlog: Annotated[
        int, typer.Option(min=100, help="How many wait for the tutorial's.")
    ] = PIPELINE.tutorial_backlog,
    singles: Annotated[int, typer.Option(min=1, help="How many orders are followed one at a time.")] = PIPELINE.singles,
    connections: Connections = PIPELINE.connections,
    users: Users = PIPELINE.users,
    tokens: Tokens = PIPELINE.tokens,
    as_json: AsJson = False,
    gate: Gate = False,
) -> None:
    """How soon orders move, how many a second beside one task per order, and what their whole way costs."""
    options = pipeline.Options(
        rounds, seconds, backlog, tutorial_backlog, singles, connections, users, min(tokens, users)
    )
    measured = pipeline.run(options, Progress(Console(stderr=True)))
    _end({"pipeline": pipeline_report.findings(measured)}, as_json=as_json, gate=gate)


@app.command("analytics")
def analytics_command(
    *,
    orders: Orders = ANALYTICS.orders,
    small: Annotated[int, typer.Option(min=1000, help="How many in the small one.")] = ANALYTICS.small,
    users: Annotated[int, typer.Option(min=100, help="Whose they are, in the large one.")] = ANALYTICS.users,
    days: Annotated[int, typer.Option(min=366, help="How far back they reach.")] = ANALYTICS.days,
    rounds: Annotated[int, typer.Option(min=1, help="How often each question is put to both.")] = ANALYTICS.rounds,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes seed.")] = ANALYTICS.workers,
    data: Kept = None,
    check: Annotated[bool, typer.Option(help="Run `orders check` on the large one at the end.")] = ANALYTICS.check,
    as_json: AsJson = False,
    gate: Gate = False,
) -> None:
    """What an answer costs at ten thousand and at ten million orders. Ten million take some 20 GB of disk."""
    options = analytics.Options(orders, small, users, days, rounds, workers, check)
    _end({"analytics": _analytics(options, data)}, as_json=as_json, gate=gate)


@app.command("all")
def all_command(
    *, orders: Orders = ANALYTICS.orders, data: Kept = None, as_json: AsJson = False, gate: Gate = False
) -> None:
    """`accept`, `pipeline` and `analytics` as they are without options, and every budget in one table."""
    progress = Progress(Console(stderr=True))
    found = {
        "accept": accept_report.findings(accept.run(ACCEPT, progress)),
        "pipeline": pipeline_report.findings(pipeline.run(PIPELINE, progress)),
        "analytics": _analytics(replace(ANALYTICS, orders=orders), data),
    }
    _end(found, as_json=as_json, gate=gate)


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


def _analytics(options: analytics.Options, data: Path | None) -> Findings:
    """In `data`, or else in a directory that is removed afterwards."""
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as temporary:
        return analytics_report.findings(analytics.run(data or Path(temporary), options, Progress(console), console))


def _end(found: Mapping[str, Findings], *, as_json: bool, gate: bool) -> NoReturn:
    tell(found, as_json=as_json)
    raise typer.Exit(int(gate and not are_within_budget(found)))


if __name__ == "__main__":
    try:
        app(prog_name="orders bench")
    except LocalError as error:
        typer.echo(f"orders bench: {error}", err=True)
        sys.exit(1)
