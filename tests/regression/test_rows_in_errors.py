"""Errors of the database quoted rows: in the log, and in the tracebacks of dead letters (found on 25 November 2026).

Parameters were hidden, but PostgreSQL itself answers a violated constraint with `DETAIL: Failing row contains (…)` and
bad JSON with its text: e-mail addresses and bodies in a log that must have none (SECURITY S39). The engines now keep
the primary message of an error and forget the rest, before anybody can write it down.
"""

import asyncio
import traceback
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from world import World

from api import acceptor
from models import outbox
from models.lifecycle import Status
from models.outbox import Work
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Settings
from workers.batches import task

CANARY = "canary-4711@example.com"
# With a line break, as a value may have one: what is quoted does not end with its line.
FAILING = {
    "a row that a constraint refuses": (
        "INSERT INTO users (id, email, password_hash, role) VALUES (uuidv7(), :canary, E'x\\ny', 'king')",
        "violates check constraint",
    ),
    "JSON that is none": ("SELECT * FROM jsonb_to_recordset(CAST(:canary AS jsonb)) AS r(a int)", "invalid input"),
}


def told(error: BaseException) -> str:
    """All that a log or a letter can make of an error."""
    return "".join(traceback.format_exception(error)) + str(error) + repr(error)


def quotes_nothing(words: str) -> bool:
    return not any(quoted in words for quoted in (CANARY, "DETAIL", "CONTEXT"))


@pytest.mark.parametrize("name", FAILING)
def test_an_error_says_what_was_wrong_and_not_with_which_row(world: World, name: str) -> None:
    statement, expected = FAILING[name]
    with pytest.raises(DBAPIError) as caught, database.transaction(Role.OWNER) as connection:
        connection.execute(text(statement), {"canary": CANARY})
    assert expected in told(caught.value)
    assert quotes_nothing(told(caught.value))
    assert database.sqlstate(caught.value) is not None, "what programs look at is still there"


@pytest.mark.parametrize("make", [lambda given: database.async_engine(given, Role.API), acceptor.hurried_engine])
def test_the_same_holds_for_the_api(world: World, make: Callable[[Settings], AsyncEngine]) -> None:
    statement, expected = FAILING["JSON that is none"]

    def fail(connection: Connection) -> None:
        connection.execute(text(statement), {"canary": CANARY})

    async def ask() -> None:
        engine = make(settings.current())
        try:
            async with engine.connect() as connection:
                await connection.run_sync(fail)
        finally:
            await engine.dispose()

    with pytest.raises(DBAPIError) as caught:
        asyncio.run(ask())
    assert expected in told(caught.value) and quotes_nothing(told(caught.value))


def test_a_dead_letter_quotes_no_row(world: World) -> None:
    bowl = world.product(name=CANARY)
    order = world.place(world.user(), {bowl.sku: 1})
    world.sql("ALTER TABLE products ADD CONSTRAINT locked_up CHECK (reserved = 0)")
    try:
        world.sql("UPDATE outbox SET attempts = 7")
        world.work("orders.confirm")
    finally:
        world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")
    [letter] = world.sql("SELECT error, traceback FROM dead_letters")
    assert "locked_up" in letter.error and "locked_up" in letter.traceback
    assert quotes_nothing(letter.error + letter.traceback)
    assert world.status(order.id) is Status.FAILED


@task("tests.say-nul")
def _say_nul(connection: Connection, due: Sequence[Work]) -> None:
    raise ValueError("a \0 b \x1b[31m \ud800")


def test_an_error_with_characters_that_text_cannot_hold_is_counted_too(world: World) -> None:
    """PostgreSQL's text has no NUL: such an error would otherwise come back for ever, and never be counted."""
    with database.transaction() as connection:
        outbox.put(connection, "tests.say-nul")
    world.work("tests.say-nul")
    assert world.sql("SELECT attempts, last_error FROM outbox")[0][:] == (1, "ValueError: a � b �[31m ?")
