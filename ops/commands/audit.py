"""The commands below `orders audit`: what can be typed. What they do is `ops/audit.py`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from pydantic_core import to_json
from rich.console import Console

from models.audit_log import EventName, Filter
from ops import audit
from ops.local import data_directory
from ops.local.data_directory import Data

app = typer.Typer(help="Security events: reading them, and proving that none was changed.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
        help="Only those since then: 2026-11-25, or 2026-11-25T10:30:00 in UTC or with an offset.",
    ),
]


@app.command("ls")
def list_command(
    *,
    event: Annotated[list[EventName] | None, typer.Option(help="Only events of this name; may be repeated.")] = None,
    user: Annotated[UUID | None, typer.Option(metavar="ID", help="Only those about this account.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what they did: the id of a user, or cli:NAME.")] = None,
    address: Annotated[str | None, typer.Option(help="Only those that came from this client address.")] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this request.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """List security events, the newest first."""
    moment = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    narrowed = Filter(tuple(event or ()), user, actor, address, request, moment)
    with audit.snapshot(data) as (connection, _):
        entries = list(audit.found(connection, narrowed, limit))
    if as_json:
        typer.echo(to_json([asdict(entry) for entry in entries]).decode())
    else:
        audit.show_list(entries, Console())


@app.command("verify")
def verify_command(
    *,
    noted: Annotated[
        str | None,
        typer.Option("--from", metavar="HEAD", help="Begin behind this head, noted earlier; it must still be there."),
    ] = None,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Examine every event against its seal, and name what was changed, removed or moved (exit code 1).

    Note the head that is printed somewhere else: only with it can an end that was cut off be noticed. Needs the
    SECRET_KEY of the system.
    """
    raise typer.Exit(audit.tell(audit.verify(data, audit.parse_head(noted)), as_json=as_json))
