"""Failures were logged without cause or context, or not at all (found by a review on 25 November 2026).

That work had become a dead letter stood in no log; that leases were overrun, as a number alone; that the database was
away under a batch, without what it had said. Beat took every error, its own bugs too, for a database that it could not
reach, and kept the traceback to itself. And the acceptor, when it was full or had to try again, said nothing at all.
"""

import json
from typing import Any

from log_lines import log_of
from world import World

CANARY = "canary-4711"
FEW = 4  # two for each window that it lasts for: usually that is one
Lines = list[dict[str, Any]]

# A worker that is given these rows, and a relay whose broker loses what it is told.
AT_WORK = """
from datetime import timedelta
from runtime import database
from workers import messages
from workers.app import app
from workers.batches import task
from workers.relay import Relay

@task("tests.lose-the-database")
def lose_the_database(connection, due):
    connection.exec_driver_sql("SET LOCAL ROLE NONE")  # a superuser, who may end anything
    connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid(), 1000)")

class Forgetful:
    def ring(self, batches): pass
    def queue(self, kind): return kind
    def waiting(self, queue): return 0

app.loader.import_default_modules()
app.tasks["orders.confirm"].apply(args=[{ids}], headers={{"request_ids": ["of-the-good", "of-the-bad"]}})
app.tasks["tests.lose-the-database"].apply(args=[{gone}])
messages.refuse("orders.nobody-can", messages.UNKNOWN_TASK)
messages.refuse("orders.nobody-can", messages.UNKNOWN_TASK)
now = 0
relay = Relay(Forgetful(), timedelta(seconds=30), monotonic=lambda: now)
with database.session() as connection:
    relay.turn(connection)
    now = 31
    relay.turn(connection)
"""


def test_work_that_fails_says_in_the_log_why_and_whose_it_was(world: World) -> None:
    good, bad = world.product(), world.product(name=CANARY)
    user = world.user(email=f"{CANARY}@example.com")
    world.place(user, {good.sku: 1}, request_id="of-the-good")
    dead = world.place(user, {bad.sku: 1}, request_id="of-the-bad")
    world.sql("UPDATE outbox SET attempts = 7 WHERE order_id = :id", id=dead.id)
    ids = [row.id for row in world.due()]
    [[gone]] = world.sql(
        "INSERT INTO outbox (kind, request_id) VALUES ('tests.lose-the-database', 'lost') RETURNING id"
    )
    world.sql(f"ALTER TABLE products ADD CONSTRAINT locked_up CHECK (sku <> '{bad.sku}' OR reserved = 0)")
    try:
        lines = log_of(AT_WORK.format(ids=ids, gone=[gone]))
    finally:
        world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")

    [halved] = told(lines, "batch failed, trying its halves")
    refused_by = {"error": "IntegrityError", "sqlstate": "23514", "constraint": "locked_up"}
    assert refused_by.items() <= halved.items() and halved["rows"] == 2
    [failed] = told(lines, "work failed")
    assert failed["request_ids"] == ["of-the-bad"] and failed["attempts"] == {str(ids[1]): 8}

    [away] = told(lines, "the database is unavailable; the batch will come again")
    assert (away["kind"], away["rows"]) == ("tests.lose-the-database", 1)
    assert (away["error"], away["sqlstate"]) == ("OperationalError", "57P01")
    assert away["message"] == "terminating connection due to administrator command"

    letters = told(lines, "work became a dead letter")
    assert {letter["level"] for letter in letters} == {"error"}
    of_work, first, second = letters
    assert (of_work["kind"], of_work["attempts"], of_work["order"]) == ("orders.confirm", 8, str(dead.id))
    assert refused_by.items() <= of_work.items() and of_work["request_ids"] == ["of-the-bad"]
    for letter, times in ((first, 1), (second, 2)):
        assert (letter["kind"], letter["error"]) == ("orders.nobody-can", "no task has this name")
        assert letter["attempts"] == times

    [overrun] = told(lines, "leases overrun")
    assert overrun["kinds"] == {"tests.lose-the-database": 1, "orders.process": 1} and overrun["rows"] == 2
    assert sorted(overrun["request_ids"]) == ["lost", "of-the-good"] and len(overrun["orders"]) == 1
    assert CANARY not in json.dumps(lines)


def told(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]


# It is cut off once by the database, and once something is wrong with what it does.
BEAT = """
from runtime import database
from schedules.scheduler import PostgresScheduler
from sqlalchemy import text
from workers.app import app

beat = PostgresScheduler(app=app)
beat.tick()
with database.transaction(database.Role.OWNER) as connection:
    connection.execute(text("SET LOCAL ROLE NONE"))  # a superuser, who may end anything
    holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 7160503 AND database ="
    ours = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    connection.execute(text(f"SELECT pg_terminate_backend(pid, 1000) FROM ({holders} {ours}) AS of_beat"))
beat.tick()
with database.transaction(database.Role.OWNER) as connection:
    connection.execute(text("ALTER TABLE schedule_state RENAME TO mislaid"))
try:
    beat.tick()
finally:
    with database.transaction(database.Role.OWNER) as connection:
        connection.execute(text("ALTER TABLE mislaid RENAME TO schedule_state"))
beat.tick()
"""


def test_beat_tells_a_database_that_is_away_from_a_bug_of_its_own(world: World) -> None:
    away, bug = log_of(BEAT)
    assert away["event"] == "beat cannot reach the database, trying again"
    assert (away["error"], away["sqlstate"]) == ("OperationalError", "57P01") and "exception" not in away
    assert bug["event"] == "beat stumbles and starts again"
    assert (bug["error"], bug["sqlstate"]) == ("ProgrammingError", "42P01")
    frames = [frame["name"] for each in bug["exception"] for frame in each["frames"]]
    assert "tick" in frames and "_lead" in frames


# Two batches of fifty: the first of an acceptor without a place, the other in front of a locked table.
CROWD = """
import asyncio
from datetime import UTC
from uuid import UUID

from api.acceptor import Acceptor, hurried_engine
from api.database import Database
from api.views.orders import AnswerRenderer
from models.acceptance import Item, Request, Terms
from models.lifecycle import Actor, Policy
from runtime import database, settings

def asked(place, key):
    items = (Item("{sku}", 1),)
    return Request(UUID("{user}"), Actor.OWNER, key, b"x", items, request_id=f"request-{{place}}")

async def crowd(waiting_max, key):
    configured = settings.current()
    transactional, hurried = database.async_engine(configured, database.Role.API), hurried_engine(configured)
    terms = Terms(Policy.of(configured), UTC, AnswerRenderer())
    acceptor = Acceptor(Database(hurried), Database(transactional), terms, waiting_max=waiting_max)
    requests = [asked(place, f"{{key}}-{{place}}") for place in range(50)]
    answers = await asyncio.gather(*map(acceptor.accept, requests), return_exceptions=True)
    await acceptor.close()
    await hurried.dispose()
    await transactional.dispose()
    return answers

async def main():
    await crowd(0, "{canary}")
    with database.transaction(database.Role.OWNER) as holder:
        holder.exec_driver_sql("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        locked = asyncio.create_task(crowd(2048, "{canary}"))
        await asyncio.sleep(0.5)
    assert all(answer.status == 201 for answer in await locked)

asyncio.run(main())
"""


def test_a_storm_of_orders_that_cannot_be_written_is_told_in_few_lines_and_whole(world: World) -> None:
    lines = log_of(CROWD.format(sku=world.product().sku, user=world.user().id, canary=CANARY))
    full = told(lines, "too many orders wait to be written, and further ones are refused")
    assert [(line["times"], line["orders"]) for line in full] == [(1, 1), (49, 49)]
    assert full[0]["request_ids"] == ["request-0"]
    assert full[1]["request_ids"] == [f"request-{place}" for place in range(1, 6)]

    split = told(lines, "a batch of orders failed, and each is written alone")
    assert sum(line["orders"] for line in split) == 50 and len(split) <= FEW
    waits = told(lines, "an order waits for a lock, alone")
    assert waits and len(waits) <= FEW and all(len(line["request_ids"]) <= 5 for line in waits)
    assert {(line["error"], line["sqlstate"]) for line in (*split, *waits)} == {("OperationalError", "55P03")}
    assert {line["level"] for line in lines} == {"warning"} and CANARY not in json.dumps(lines)
