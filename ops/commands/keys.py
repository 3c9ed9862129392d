"""The commands below `orders keys`: what can be typed. What they do is `ops/keys.py`."""

from typing import Annotated

import typer
from pydantic_core import to_json
from rich.console import Console

from ops import keys
from ops.local import data_directory, which_system
from ops.local.data_directory import Data

app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("ls")
def list_command(*, as_json: AsJson = False, data: Data = data_directory.DEFAULT) -> None:
    """List all keys, the newest first: which one signs, which is to sign next, which are trusted until when."""
    found = keys.found(which_system.configuration(data))
    if as_json:
        typer.echo(to_json([keys.document(record) for record in found]).decode())
    else:
        keys.show_list(found, Console())


@app.command("rotate")
def rotate_command(
    *,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=keys.WAIT_SECONDS_MIN,
            help="How long the new key is published before it signs. Longer than others keep our JWKS, if they verify.",
        ),
    ] = 30,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Sign with a new key, without anybody being logged out.

    The new key is published, every process hears of it, then it signs. The old one verifies what it signed for as long
    as that is good (17 minutes). If this is interrupted, the next one goes on with the key that was published.
    """
    found = keys.rotate(which_system.configuration(data), wait, Console(stderr=True))
    if as_json:
        typer.echo(to_json([keys.document(record) for record in found]).decode())
    else:
        keys.show_list(found, Console())


@app.command("retire")
def retire_command(
    kid: Annotated[str, typer.Argument(metavar="KID", help="The key's name, from `ls`.")],
    *,
    as_json: AsJson = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Trust a key no more: the access tokens that it signed are void within 5 s.

    Their owners get new ones with their refresh tokens. For a key that somebody else may have; others retire when they
    are rotated. The one that signs cannot be retired.
    """
    record = keys.retire(which_system.configuration(data), kid)
    if as_json:
        typer.echo(to_json(keys.document(record)).decode())
    else:
        typer.echo(f"{record.kid} is not trusted any more")
