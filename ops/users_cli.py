"""The commands below `orders user`: what can be typed. What they do is `ops/users.py`."""

import sys
from getpass import getpass
from typing import Annotated

import typer
from pydantic_core import to_json
from rich.console import Console

from models.accounts import Change
from models.permissions import Role
from models.users import Filter
from ops import data_directory, users, which_system
from ops.data_directory import Data
from ops.failures import LocalError
from runtime import settings

app = typer.Typer(help="People who may log in.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="What the user logs in with.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]


@app.command("create")
def create_command(
    email: Annotated[str, typer.Option(help="What the user logs in with.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.CUSTOMER,
    name: Annotated[str, typer.Option(help="How the user is called.")] = "",
    password_stdin: FromStdin = False,
) -> None:
    """Create a user, for example the first admin. The password is asked for and never an argument."""
    typer.echo(users.create(settings.current(), email, _password(from_stdin=password_stdin), role, name or None))


@app.command("ls")
def list_command(
    *,
    role: Annotated[Role | None, typer.Option(help="Only those in this role.")] = None,
    disabled: Annotated[
        bool | None, typer.Option("--disabled/--enabled", help="Only those who are disabled, or who are not.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Only the one with this address.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """List users, the newest first."""
    found = users.found(which_system.configuration(data), Filter(role, disabled, email), limit)
    if as_json:
        typer.echo(to_json([users.document(user) for user in found]).decode())
    else:
        users.show_list(found, Console())


@app.command("role")
def role_command(
    email: Email,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="What the user may do from now on.")],
    data: Data = data_directory.DEFAULT,
) -> None:
    """Give a user another role, within 5 s in every process. Their sessions go on."""
    user = users.change(which_system.configuration(data), email, Change(role=role))
    typer.echo(f"{user.email} is {user.role}")


@app.command("disable")
def disable_command(email: Email, data: Data = data_directory.DEFAULT) -> None:
    """Let a user do nothing any more: their sessions end, their tokens are void within 5 s."""
    user = users.change(which_system.configuration(data), email, Change(disabled=True))
    typer.echo(f"{user.email} is disabled")


@app.command("enable")
def enable_command(email: Email, data: Data = data_directory.DEFAULT) -> None:
    """Let a disabled user log in again."""
    user = users.change(which_system.configuration(data), email, Change(disabled=False))
    typer.echo(f"{user.email} may log in")


@app.command("password")
def password_command(email: Email, password_stdin: FromStdin = False, data: Data = data_directory.DEFAULT) -> None:
    """Give a user another password, which is asked for. All their sessions end."""
    configured = which_system.configuration(data)
    user = users.set_password(configured, email, _password(from_stdin=password_stdin))
    typer.echo(f"{user.email} has a new password")


def _password(*, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else _asked_twice()


def _asked_twice() -> str:
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        raise LocalError("the two passwords differ; nothing was changed.")
    return password
