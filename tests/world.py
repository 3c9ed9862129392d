"""A small shop to test with: people, products, orders, and a pipeline that is driven by hand.

Everything goes through the real verbs and the real tasks on the real database. Only the bell is missing: `work` does in
the test what a message would make a worker do.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from itertools import count
from typing import Any
from uuid import UUID

import redis
from running_system import eventually
from sqlalchemy import text

from api.views.orders import AnswerRenderer
from models import acceptance, order_list, orders, outbox, products, tables
from models.acceptance import Answer, Item, Outcome, ReferenceRace, Request, Terms
from models.advance import Step, advance
from models.identity import users
from models.identity.permissions import Role
from models.identity.users import User
from models.lifecycle import Actor, Policy, Status
from models.order_list import Filter
from models.orders import Event, Order
from models.products import Product
from runtime import database, settings
from runtime.database import Role as DatabaseRole
from workers.app import app

FOLD_SECONDS = 60
# A real argon2id string, of no password: hashing is tested where hashing is meant.
NO_PASSWORD = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG"


# What a test leaves behind and the next one must not find. The rest is part of the schema, or cannot be told apart.
KEPT_TABLES = {"legal_moves", "signing_keys", "rollup_state"}
SMALL_BYTES = 200_000
FILLED_TABLES = """
    SELECT relname, pg_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
"""


def empty_database() -> None:
    """Leave no rows but those the schema brings. To truncate makes new files, so a few rows are sooner deleted."""
    with database.transaction(DatabaseRole.OWNER) as connection:
        connection.execute(text("SET LOCAL ROLE NONE"))  # the superuser, who may do without foreign keys and triggers
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        sizes = connection.execute(text(FILLED_TABLES)).all()
        ours = {table.name for table in tables.metadata.sorted_tables} - KEPT_TABLES
        filled = {name: size for name, size in sizes if name in ours}
        if large := [name for name, size in filled.items() if size > SMALL_BYTES]:
            connection.execute(text(f"TRUNCATE {', '.join(large)} CASCADE"))
        for name in filled.keys() - large:
            connection.execute(text(f"DELETE FROM {name}"))
        # With a horizon of an earlier test, the first fold could say that it is as old as that test.
        connection.execute(
            text(
                "UPDATE rollup_state SET upto = pg_current_xact_id(), sealed_upto = pg_current_xact_id(),"
                " horizon = pg_current_xact_id(), as_of = now(), horizon_at = now(),"
                " cluster = (SELECT system_identifier FROM pg_control_system()), drift = 0"
            )
        )


def forget_counts() -> None:
    """Leave nothing of what the API has counted in the broker: who logged in from where, and how often."""
    with redis.Redis.from_url(settings.current().broker_url.get_secret_value()) as broker:
        for key in broker.scan_iter("limits:*"):
            broker.delete(key)


@dataclass(frozen=True)
class Placed:
    """An accepted order, with the request that made it."""

    id: UUID
    request: Request
    answer: Answer


class World:
    def __init__(self) -> None:
        self._numbers = count(1)
        self.policy = Policy.of(settings.current())
        app.loader.import_default_modules()  # as a worker does when it starts: the tasks register themselves

    @property
    def terms(self) -> Terms:
        return Terms(self.policy, UTC, AnswerRenderer())

    def user(self, role: Role = Role.CUSTOMER, email: str | None = None) -> User:
        email = email or f"{role}-{next(self._numbers)}@example.com"
        with database.transaction(DatabaseRole.API) as connection:
            return users.register(connection, email, NO_PASSWORD, role, role.capitalize())

    def product(self, sku: str | None = None, **values: Any) -> Product:
        sku = sku or f"SKU-{next(self._numbers)}"
        wanted = Product(sku, f"The {sku}", 1000, "EUR", on_hand=1_000_000, reserved=0, active=True)
        with database.transaction(DatabaseRole.API) as connection:
            return products.put(connection, replace(wanted, **values))[0]

    def stock(self, sku: str) -> tuple[int, int]:
        """on hand, reserved"""
        with database.transaction(DatabaseRole.API) as connection:
            product = products.get(connection, sku)
        return product.on_hand, product.reserved

    def request(self, user: User, items: Mapping[str, int], **values: Any) -> Request:
        key = f"key-{next(self._numbers)}"
        wanted = Request(user.id, Actor.OWNER, key, key.encode(), tuple(Item(*item) for item in items.items()))
        return replace(wanted, **values)

    def accept(self, *batch: Request, terms: Terms | None = None) -> list[Outcome]:
        """With `terms`, in a process that remembers what it has seen under them. Races are outlasted, as by the API."""
        terms = terms or self.terms
        while True:
            with suppress(ReferenceRace), database.transaction(DatabaseRole.API) as connection:
                return acceptance.accept(connection, batch, terms)

    def place(self, user: User, items: Mapping[str, int], **values: Any) -> Placed:
        request = self.request(user, items, **values)
        [answer] = self.accept(request)
        assert isinstance(answer, Answer)
        assert answer.order_id is not None, answer.body
        return Placed(answer.order_id, request, answer)

    def order(self, order_id: UUID) -> Order:
        with database.transaction(DatabaseRole.API) as connection:
            return orders.get(connection, order_id, owner=None)

    def orders(self) -> list[Order]:
        """All of them, in the sequence in which they were placed."""
        with database.transaction(DatabaseRole.API) as connection:
            return list(order_list.page(connection, Filter(owner=None), None, 1_000_000, newest_first=False))

    def events(self, order_id: UUID) -> list[Event]:
        with database.transaction(DatabaseRole.API) as connection:
            return orders.events_of(connection, order_id, owner=None)

    def journey(self, order_id: UUID) -> list[str]:
        return [event.to_status for event in self.events(order_id)]

    def move(self, *steps: Step) -> list[Step]:
        with database.transaction() as connection:
            return advance(connection, steps, self.policy)

    def due(self) -> list[outbox.Due]:
        with database.transaction() as connection:
            return outbox.due(connection, None, [], 1_000_000)

    def work(self, kind: str | None = None) -> int:
        """Do, once, what is due now (of one kind, or of all); returns how many rows that were."""
        by_kind: dict[str, list[int]] = {}
        for row in self.due():
            if kind in (None, row.kind):
                by_kind.setdefault(row.kind, []).append(row.id)
        for name, ids in by_kind.items():
            app.tasks[name](ids)
        return sum(map(len, by_kind.values()))

    def work_until_idle(self) -> None:
        while self.work():
            pass

    def await_the_end_of_all_writes(self) -> None:
        """A transaction of the neighbouring test process would hold a fold back: ids are those of the whole server."""
        ended = "SELECT max(xid) < pg_snapshot_xmin(pg_current_snapshot()) FROM order_events"
        eventually(lambda: bool(self.sql(ended)[0][0]), "all transactions that wrote events have ended")

    def fold_once(self) -> None:
        """What the timetable asks for every few seconds."""
        with database.transaction() as connection:
            outbox.put(connection, "rollups.fold")
        self.work("rollups.fold")

    def fold(self) -> None:
        """Fold everything committed by now. Transactions of the neighbouring test process may hold it back for a while:
        a transaction id belongs to the whole server."""
        [[now]] = self.sql("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)")
        deadline = time.monotonic() + FOLD_SECONDS
        while not self.sql("SELECT upto >= CAST(:now AS xid8) FROM rollup_state", now=now)[0][0]:
            assert time.monotonic() < deadline, "a transaction holds the fold back"
            self.fold_once()

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """Rows of a plain statement, run by the owner of the schema."""
        with database.transaction(DatabaseRole.OWNER) as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    def status(self, order_id: UUID) -> Status:
        return self.order(order_id).status
