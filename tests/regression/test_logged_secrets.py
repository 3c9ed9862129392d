"""Tracebacks in the log carried every frame's local variables, and database errors their parameters (23 November 2026).

structlog's ready-made `dict_tracebacks` shows locals, so the first unexpected error in an endpoint wrote the caller's
Authorization header and body into the log; SQLAlchemy's messages quote the parameters of the failed statement, so the
first constraint that was violated wrote what the client had sent. Both are off now (SECURITY S39).
"""

import io
import logging
from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy import text

from runtime import database, logs
from runtime.settings import LogFormat

CANARY = "canary-4711"


@pytest.fixture(params=LogFormat)
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a process with this log format writes."""
    logs.configure("test", "INFO", request.param)
    [handler] = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream
    logs.configure("tests", "CRITICAL", LogFormat.JSON)


def fail_with(secret: str) -> None:
    raise ZeroDivisionError(f"{len(secret)}")


def test_a_logged_exception_says_where_and_not_with_what(written: io.StringIO) -> None:
    try:
        fail_with(CANARY)
    except ZeroDivisionError as error:
        logs.get("test").error("unexpected error", exc_info=error)
    assert "fail_with" in written.getvalue()
    assert CANARY not in written.getvalue()


def test_a_logged_database_error_names_the_statement_and_not_its_parameters(written: io.StringIO) -> None:
    try:
        with database.transaction() as connection:
            connection.execute(text("SELECT 1 / length(substr(:secret, 1, 0))"), {"secret": CANARY})
    except sqlalchemy.exc.DBAPIError as error:
        logs.get("test").error("unexpected error", exc_info=error)
    assert "division by zero" in written.getvalue()
    assert CANARY not in written.getvalue()
