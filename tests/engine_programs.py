"""What the images of PostgreSQL and Valkey have on their path, made of the embedded engines.

In a container an engine has the usual port to itself; here it has one of its own, which these programs add.
"""

import sys
from pathlib import Path

from ops.local import postgres_directory
from ops.local.engines import Valkey
from ops.processes import ports


def install(directory: Path, postgres_port: int, valkey_port: int) -> Path:
    """Make a directory for somebody's path, with `pg_isready`, `valkey-server` and `valkey-cli`."""
    directory.mkdir()
    server = Valkey(directory, valkey_port).argv[0]
    programs = {
        "pg_isready": f"{postgres_directory.binaries()}/pg_isready --host={ports.LOOPBACK} --port={postgres_port}",
        "valkey-server": f"{server} --port {valkey_port} --bind {ports.LOOPBACK} --dir {directory}",
        "valkey-cli": f"{sys.executable} {Path(__file__).with_name('valkey_cli.py')} -p {valkey_port}",
    }
    for name, command in programs.items():
        (directory / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (directory / name).chmod(0o755)
    return directory
