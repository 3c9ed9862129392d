"""What our processes write to their logs: pieces of code that run in a process of their own, and its lines."""

import json
import subprocess
import sys
from typing import Any

from sqlalchemy import text

from runtime import database

_CONFIGURED = """
from runtime import logs
logs.configure("tests", "WARNING", "json")
"""
_TASK = """
from workers.app import app
app.loader.import_default_modules()
app.tasks["{kind}"]([{row}])
"""


def log_of(code: str) -> list[dict[str, Any]]:
    """The lines, at level warning and above, that this code writes."""
    command = [sys.executable, "-c", _CONFIGURED + code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def log_of_task(kind: str) -> list[dict[str, Any]]:
    """The lines of a task of the timetable, done once."""
    with database.transaction() as connection:
        put = text("INSERT INTO outbox (kind) VALUES (:kind) RETURNING id")
        row = connection.execute(put, {"kind": kind}).scalar_one()
    return log_of(_TASK.format(kind=kind, row=row))
