"""The commands below `orders api-keys`: what can be typed. What they do is `ops/api_keys.py`."""

from typing import Annotated, Any

import typer
from pydantic_core import to_json
from rich.console import Console

from models.identity import api_key_desk
from models.identity.api_key_desk import NewKey
from models.identity.permissions import FOR_KEYS, Permission
from ops import api_keys
from ops.local import data_directory, which_system
from ops.local.data_directory import Data

app = typer.Typer(help="Credentials of machines, shown as access tokens are.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]
Prefix = Annotated[str, typer.Argument(metavar="PREFIX", help="How its secret begins, from `ls` or the access log.")]
Days = Annotated[int, typer.Option(min=1, max=api_key_desk.LIFE_DAYS_MAX, help="For how long it is good.")]


@app.command("create")
def create_command(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service account, by its name.")],
    *,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    permission: Annotated[
        list[Permission],
        typer.Option(help=f"What it is good for; may be repeated. One of {', '.join(sorted(FOR_KEYS))}."),
    ],
    days: Days = api_key_desk.LIFE_DAYS,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Make a key for a service account. Its secret is printed this once. People make their own, over HTTP."""
    _tell(api_keys.create(which_system.configuration(data), service, name, permission, days), as_json=as_json)


@app.command("ls")
def list_command(
    owner: Annotated[str | None, typer.Argument(metavar="OWNER", help="A service account, or an address.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """List keys, the newest first, without their secrets: an owner's, or everybody's."""
    found = api_keys.found(which_system.configuration(data), owner, limit)
    if as_json:
        typer.echo(_json([api_keys.document(key) for key in found]))
    else:
        api_keys.show_list(found, Console())


@app.command("rotate")
def rotate_command(
    prefix: Prefix,
    *,
    overlap: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=int(api_key_desk.OVERLAP_MAX.total_seconds()),
            help="For how long the old key is good as well.",
        ),
    ] = int(api_key_desk.OVERLAP.total_seconds()),
    days: Days = api_key_desk.LIFE_DAYS,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Make the key that takes the place of one of a service account. Its secret is printed this once."""
    _tell(api_keys.rotate(which_system.configuration(data), prefix, overlap, days), as_json=as_json)


@app.command("revoke")
def revoke_command(prefix: Prefix, *, as_json: AsJson = False, data: Data = data_directory.DEFAULT) -> None:
    """Revoke a key, whoever owns it: within 5 s no process takes it any more."""
    key = api_keys.revoke(which_system.configuration(data), prefix)
    typer.echo(_json(api_keys.document(key)) if as_json else f"{key.prefix} is good for nothing any more")


def _tell(made: NewKey, *, as_json: bool) -> None:
    """The secret alone on stdout, so that it can be piped to where it is kept; the rest is for people."""
    if as_json:
        typer.echo(_json(api_keys.new_document(made)))
        return
    typer.echo(f"{made.key.prefix} is good until {made.key.expires_at:%Y-%m-%d %H:%M} UTC; its secret:", err=True)
    typer.echo(made.secret)


def _json(value: Any) -> str:
    return to_json(value).decode()
