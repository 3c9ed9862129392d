"""`orders seed`: what can be typed. What it does is `ops/seed.py` and, for a history of orders, `ops/seeding/`."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from ops import seed
from ops.failures import LocalError
from ops.local import data_directory, which_system
from ops.local.data_directory import Data
from ops.seeding import running
from ops.seeding.history import History
from ops.seeding.running import Seeded
from runtime import clock
from runtime.settings import Settings

DAYS = 365
CUSTOMERS_MAX = 100_000
WORKERS_MAX = 64


def seed_command(
    *,
    orders: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="Make up a past with so many orders.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="How long it is.  [default: 365]")] = None,
    users: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="How many customers there are.  [default: a tenth, at most 100000]"),
    ] = None,
    seed_number: Annotated[int | None, typer.Option("--seed", help="Another number, another past.")] = None,
    until: Annotated[
        datetime | None,
        typer.Option(metavar="DAY", formats=["%Y-%m-%d"], help="The business day it ends before.  [default: today]"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=WORKERS_MAX, help="How many processes write.  [default: the cores]")
    ] = None,
    in_production: Annotated[bool, typer.Option("--in-production", help="Even where ENVIRONMENT=production.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON on stdout.")] = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Put the demo catalogue into the database and, with --orders, a believable past. Safe to repeat.

    The same arguments make up the same orders, down to their ids; other ones are added to what is there, and nothing
    that is there is changed. Orders that are still open go on from where they stand. When it is interrupted, the same
    command goes on where it stopped: on another day, with --until and the day on which it was begun.
    """
    system = which_system.configuration(data)
    if orders is None:
        _refuse_without_orders({"--days": days, "--users": users, "--seed": seed_number, "--until": until})
        written = seed.run(system)
        typer.echo(json.dumps({"written": written}) if as_json else f"{written} products and users written")
        return
    history = History(
        orders,
        days or DAYS,
        users or max(1, min(orders // 10, CUSTOMERS_MAX)),
        1 if seed_number is None else seed_number,
        until.date() if until else _today(system),
        system.reporting_tz,
    )
    workers = workers or min(os.cpu_count() or 1, WORKERS_MAX)
    seeded = running.run(system, history, workers, Console(stderr=True), in_production=in_production)
    if as_json:
        typer.echo(json.dumps(as_document(seeded)))
    else:
        _tell(seeded)


def as_document(seeded: Seeded) -> dict[str, Any]:
    """The shape of `--json`."""
    history = seeded.history
    return {
        "history": asdict(history) | {"until": history.until.isoformat(), "name": history.name},
        "written": {"users": seeded.customers, **asdict(seeded.written)},
        "is_folded": seeded.is_folded,
        "seconds": {name: round(seconds, 3) for name, seconds in seeded.seconds.items()},
    }


def _tell(seeded: Seeded) -> None:
    written, history = seeded.written, seeded.history
    took = " · ".join(f"{name} {seconds:.1f} s" for name, seconds in seeded.seconds.items())
    typer.echo(
        f"{written.orders:,} orders with {written.lines:,} lines and {written.events:,} events of {seeded.customers:,} "
        f"new users written, placed from {history.begins_on} to the day before {history.until}\n{took}"
    )
    if written.orders < history.orders:
        typer.echo(f"{history.orders - written.orders:,} of the {history.orders:,} orders were there already.")
    if not seeded.is_folded:
        typer.echo("The aggregates do not count all of them yet: the workers' next folds will.")


def _refuse_without_orders(given: Mapping[str, object]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise LocalError(f"{' and '.join(named)}: of which orders? Say how many with --orders. Nothing was written.")


def _today(system: Settings) -> date:
    return clock.business_day(clock.now(), system.zone)
