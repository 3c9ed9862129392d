"""`orders doctor`: is this machine able to run the system, and is the configured one as it should be?

Where no DATABASE_URL is set, it looks at what `orders up` runs in the data directory.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import redis
import sqlalchemy
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection, text

from models import migrations, schedule
from ops import machine_checks
from ops.local import which_system
from ops.machine_checks import Check, Outcome, judged
from runtime import settings
from runtime.database import Role
from runtime.settings import Settings, SettingsError

SERVER_VERSION_MIN = 180_000
_BECOME = text("SELECT set_config('role', rolname, false) FROM pg_roles WHERE rolname = :role")
MARKS = {Outcome.GOOD: "[green]✓[/]", Outcome.BAD: "[red]✗[/]", Outcome.SKIPPED: "[dim]–[/]"}


def run(data: Path, console: Console, *, as_json: bool) -> int:
    """Print the checks; returns 1 if a required one is bad."""
    checks = [*machine_checks.all_of(data), *_system(which_system.environment(data))]
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks]))
    else:
        _print(checks, console)
    return int(any(check.required and check.outcome is Outcome.BAD for check in checks))


def _system(environment: Mapping[str, str] | None) -> Iterator[Check]:
    if environment is None:
        yield Check("settings", Outcome.SKIPPED, "DATABASE_URL is not set", "set it, or start everything with make up")
        return
    try:
        found = settings.read(environment)
    except SettingsError as error:
        yield judged("settings", False, str(error).replace("\n", "; "), "set it in the environment of every process")
        return
    yield judged("settings", True, f"valid, {found.environment}", "")
    yield from _database(found)
    yield _broker(found)


def _database(found: Settings) -> Iterator[Check]:
    try:
        engine = sqlalchemy.create_engine(found.sqlalchemy_url, connect_args={"connect_timeout": 3})
        with engine.connect() as connection:
            # The login of the services can do nothing as itself.
            connection.execute(_BECOME, {"role": Role.API})
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
            shown = f"PostgreSQL {version // 10_000}.{version % 10_000}"
            yield judged("database", version >= SERVER_VERSION_MIN, shown, "PostgreSQL 18 or newer is needed")
            applied, head = migrations.applied(connection), migrations.head()
            yield judged("migrations", applied == head, f"{applied or 'none'}, needed {head}", "run: orders migrate")
            if applied == head:
                yield _timetable(connection)
        engine.dispose()
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        yield judged("database", False, reason, "start it, or correct DATABASE_URL")


def _timetable(connection: Connection) -> Check:
    if not schedule.known(connection)[1]:
        return Check("timetable", Outcome.SKIPPED, "beat has never run here", "start it: celery -A workers.app beat")
    late = schedule.overdue(connection)
    advice = "see the logs of beat, relay and workers, and the dead letters; docs/operations.md says more"
    shown = ", ".join(f"{each.entry} for {_rounded(each.silent_for)}" for each in late)
    return judged("timetable", not late, f"no success: {shown}" if late else "every entry succeeds", advice)


def _rounded(duration: timedelta) -> timedelta:
    return timedelta(seconds=round(duration.total_seconds()))


def _broker(found: Settings) -> Check:
    client = redis.Redis.from_url(found.broker_url.get_secret_value(), socket_timeout=3, socket_connect_timeout=3)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return judged("broker", False, str(error), "start it, or correct BROKER_URL; orders are accepted without it")
    finally:
        client.close()
    return judged("broker", True, "answers", "")


def _print(checks: list[Check], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for check in checks:
        advice = f"[yellow]{escape(check.advice)}[/]" if check.advice else ""
        table.add_row(MARKS[check.outcome], check.name, escape(check.found), advice)
    console.print(table)
