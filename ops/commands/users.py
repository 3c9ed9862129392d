"""The commands below `orders user`: what can be typed. What they do is `ops/users.py`."""

import sys
from getpass import getpass
from typing import Annotated

import typer
from pydantic_core import to_json
from rich.console import Console

from models.identity.accounts import Change
from models.identity.permissions import Role
from models.identity.users import Filter
from ops import users
from ops.failures import LocalError
from ops.local import data_directory, which_system
from ops.local.data_directory import Data
from runtime import settings

app = typer.Typer(help="People who may log in, and service accounts.", no_args_is_help=True)

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="What the user logs in with.")]
Whom = Annotated[
    str, typer.Argument(metavar="EMAIL|SERVICE", help="What the user logs in with, or the name of a service account.")
]
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


@app.command("create-service")
def create_service_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="How it is called, for example shop-sync.")],
    role: Annotated[Role, typer.Option(help="What it may do, as far as its API keys permit.")] = Role.CUSTOMER,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Create an account for a machine. It cannot log in; give it a key: `orders api-keys create`."""
    typer.echo(users.create_service(which_system.configuration(data), name, role))


@app.command("ls")
def list_command(
    *,
    role: Annotated[Role | None, typer.Option(help="Only those in this role.")] = None,
    disabled: Annotated[
        bool | None, typer.Option("--disabled/--enabled", help="Only those who are disabled, or who are not.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Only the one with this address.")] = None,
    service: Annotated[
        bool | None, typer.Option("--services/--people", help="Only service accounts, or only people.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """List users, the newest first."""
    found = users.found(which_system.configuration(data), Filter(role, disabled, email, service), limit)
    if as_json:
        typer.echo(to_json([users.document(user) for user in found]).decode())
    else:
        users.show_list(found, Console())


@app.command("role")
def role_command(
    whom: Whom,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="What the user may do from now on.")],
    data: Data = data_directory.DEFAULT,
) -> None:
    """Give a user another role, within 5 s in every process. Their sessions go on."""
    user = users.change(which_system.configuration(data), whom, Change(role=role))
    typer.echo(f"{user.label} is {user.role}")


@app.command("disable")
def disable_command(whom: Whom, data: Data = data_directory.DEFAULT) -> None:
    """Let a user do nothing any more: their sessions end, their tokens and API keys are void within 5 s."""
    user = users.change(which_system.configuration(data), whom, Change(disabled=True))
    typer.echo(f"{user.label} is disabled")


@app.command("enable")
def enable_command(whom: Whom, data: Data = data_directory.DEFAULT) -> None:
    """Let a disabled user log in again; API keys of theirs that were not revoked are good again."""
    user = users.change(which_system.configuration(data), whom, Change(disabled=False))
    typer.echo(f"{user.label} may log in")


@app.command("password")
def password_command(email: Email, password_stdin: FromStdin = False, data: Data = data_directory.DEFAULT) -> None:
    """Give a user another password, which is asked for. All their sessions and API keys end."""
    configured = which_system.configuration(data)
    user = users.set_password(configured, email, _password(from_stdin=password_stdin))
    typer.echo(f"{user.label} has a new password")


@app.command("reset-mfa")
def reset_mfa_command(email: Email, data: Data = data_directory.DEFAULT) -> None:
    """Turn off multi-factor login of who has lost phone and codes. Be sure who asks: nothing else is checked."""
    if users.reset_mfa(which_system.configuration(data), email):
        typer.echo("multi-factor login is off, and all sessions have ended")
    else:
        typer.echo("multi-factor login was not on; nothing was changed")


def _password(*, from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else _asked_twice()


def _asked_twice() -> str:
    password = getpass("Password: ")
    if getpass("Again: ") != password:
        raise LocalError("the two passwords differ; nothing was changed.")
    return password
