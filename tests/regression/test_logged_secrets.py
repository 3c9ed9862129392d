"""Tracebacks in the log carried every frame's local variables, and database errors their parameters (23 November 2026).

structlog's ready-made `dict_tracebacks` shows locals, so the first unexpected error in an endpoint wrote the caller's
Authorization header and body into the log; SQLAlchemy's messages quote the parameters of the failed statement, so the
first constraint that was violated wrote what the client had sent. Both are off now (SECURITY S39).
"""

import subprocess
import sys

import pytest

from runtime.settings import LogFormat

CANARY = "canary-4711"

FAILING_CODE = """
def fail_with(secret):
    raise ZeroDivisionError(len(secret))
fail_with(sys.argv[2])
"""
FAILING_STATEMENT = """
with database.transaction() as connection:
    connection.execute(text("SELECT 1 / length(substr(:secret, 1, 0))"), {"secret": sys.argv[2]})
"""


def logged(failure: str, form: LogFormat) -> str:
    """What a process with this log format writes when this fails."""
    body = failure.strip().replace("\n", "\n    ")
    script = f"""
import sys
from sqlalchemy import text
from runtime import database, logs
from runtime.settings import LogFormat
logs.configure("test", "INFO", LogFormat(sys.argv[1]))
try:
    {body}
except Exception as error:
    logs.get("test").error("unexpected error", exc_info=error)
"""
    done = subprocess.run([sys.executable, "-c", script, form, CANARY], capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.parametrize("form", LogFormat)
def test_a_logged_exception_says_where_and_not_with_what(form: LogFormat) -> None:
    said = logged(FAILING_CODE, form)
    assert "fail_with" in said
    assert CANARY not in said


@pytest.mark.parametrize("form", LogFormat)
def test_a_logged_database_error_names_the_statement_and_not_its_parameters(form: LogFormat) -> None:
    said = logged(FAILING_STATEMENT, form)
    assert "division by zero" in said
    assert CANARY not in said
