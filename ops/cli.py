"""The command `orders`: what can be typed, and how failures are told (one paragraph and exit code 1, no traceback)."""

import importlib.util
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import sqlalchemy.exc
import typer
from rich.console import Console

from models.errors import OrderPipelineError
from ops import check, doctor, migrate, openapi, serve
from ops.commands import api_keys, audit, dead_letters, keys, rollups, seed, trail, users
from ops.failures import LocalError
from ops.local import data_directory, up
from ops.local.data_directory import Data
from ops.local.profile import Numbers
from ops.processes import ports
from runtime import settings

app = typer.Typer(
    name="orders",
    help="Order Pipeline: accept orders durably, move them along, count them exactly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(users.app, name="user")
app.add_typer(keys.app, name="keys")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(dead_letters.app, name="dead-letters")
app.command("seed")(seed.seed_command)
app.add_typer(rollups.app, name="rollups")
app.add_typer(audit.app, name="audit")
app.command("trail")(trail.trail_command)


@app.command("up")
def up_command(
    *,
    data: Data = data_directory.DEFAULT,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The API's port; the next free one if it is taken.")
    ] = 8000,
    api_workers: Annotated[int, typer.Option(min=1, max=64, help="How many API processes share the port.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=16, help="How many worker nodes.")] = 1,
    relays: Annotated[int, typer.Option(min=1, max=16, help="How many relays; one leads.")] = 1,
    beats: Annotated[int, typer.Option(min=1, max=16, help="How many beats; one leads.")] = 1,
    once: Annotated[bool, typer.Option("--once", help="Stop everything after the demo order.")] = False,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Place no demo order.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON on stdout when all is ready.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="Show the log of all processes on stderr as well.")] = False,
) -> None:
    """Run everything on this machine: engines, API, relay, worker, beat and Flower.

    Nothing needs to be installed or configured. A demo order shows that it works. Ctrl-C stops all; the data stays.
    """
    numbers = Numbers(api=api_workers, worker=workers, relay=relays, beat=beats)
    raise typer.Exit(up.run(up.Options(data, port, numbers, once, not no_demo, as_json, logs)))


@app.command("serve")
def serve_command(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = ports.LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 lets the system choose.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes; a dead one is restarted.")] = 1,
    share_port: Annotated[bool, typer.Option("--share-port", help="Join API processes that have the port.")] = False,
) -> None:
    """Serve the HTTP API. Settings come from the environment."""
    settings.current()
    serve.run(host, port, workers, share_port=share_port)


@app.command("migrate")
def migrate_command(
    wait: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long to wait for another migration that runs.")
    ] = migrate.WAIT.total_seconds(),
) -> None:
    """Bring the database's tables, roles and grants up to date. Safe to repeat."""
    migrate.run(settings.current(), typer.echo, timedelta(seconds=wait))


@app.command(
    "bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def bench_command(context: typer.Context) -> None:
    """Measure against the budgets of the design, for example `orders bench accept`."""
    if importlib.util.find_spec("benchmarks") is None:
        raise LocalError(
            "the benchmarks are not installed here: they are in the repository, and not in the image. "
            "Run `make bench` in a checkout of it."
        )
    # The benchmarks stand above this package, so it cannot import them; it becomes them.
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *context.args])  # noqa: S606


@app.command("doctor")
def doctor_command(
    data: Data = data_directory.DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="The checks as JSON.")] = False,
) -> None:
    """Check this machine and the configured (or locally running) system, and say what to do about what is wrong."""
    raise typer.Exit(doctor.run(data, Console(), as_json=as_json))


@app.command("check")
def check_command(
    *,
    data: Data = data_directory.DEFAULT,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this invariant; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Examine every guarantee on the live data, in one snapshot, and name what violates it (exit code 1).

    It reads the configured database, or the one `orders up` runs here. It writes nothing and no writer waits for it.
    """
    raise typer.Exit(check.run(data, only or [], Console(), as_json=as_json))


@app.command("openapi")
def openapi_command(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it here instead of to stdout.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is not current.")] = False,
) -> None:
    """Print the description of the HTTP API (OpenAPI 3.1). The committed one is docs/openapi.json."""
    if check:
        openapi.check(output or openapi.COMMITTED)
    elif output:
        output.write_text(openapi.text(), encoding="utf-8")
    else:
        typer.echo(openapi.text(), nl=False)


def main() -> None:
    """Run the command line; failures that a person can do something about end in one paragraph on stderr."""
    try:
        app()
    except (LocalError, settings.SettingsError, migrate.SchemaTooNew, OrderPipelineError) as error:
        _fail(str(error), error)
    except sqlalchemy.exc.OperationalError as error:
        _fail(f"the database cannot be reached or refused: {str(error.orig).strip()}", error)
    except Exception as error:  # whatever it is, the person at the terminal gets one paragraph
        _fail(f"{type(error).__name__}: {error}. Set ORDERS_DEBUG=1 for the whole story.", error)


def _fail(message: str, error: Exception) -> None:
    if os.environ.get("ORDERS_DEBUG") == "1":
        raise error
    typer.echo(f"orders: {message}", err=True)
    raise SystemExit(1) from None
