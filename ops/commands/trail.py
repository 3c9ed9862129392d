"""The command `orders trail`: what can be typed. What it does is `ops/trail.py`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops import trail
from ops.local import data_directory
from ops.local.data_directory import Data


def trail_command(
    order_or_request: Annotated[
        str, typer.Argument(metavar="ORDER_OR_REQUEST_ID", help="An order's `id`, or an `X-Request-ID` that moved it.")
    ],
    *,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The log to read, - for stdin; else that of `orders up` here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The steps as JSON.")] = False,
    data: Data = data_directory.DEFAULT,
) -> None:
    """Show one order's way, from HTTP to delivered: its events, and the log's lines between them."""
    trail.run(data, order_or_request, log, Console(), as_json=as_json)
