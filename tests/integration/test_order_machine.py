"""Anything may happen to orders, in any sequence, and the database still says what a dictionary says.

Hypothesis draws the sequence: requests and their retries, wishes, messages that come late, twice, stale or out of turn,
tasks that die before they commit, work that keeps failing. After every step all tables are compared with the model.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from acceptance_model import AcceptanceModel, Draft
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from order_model import ATTEMPTS_MAX, Model, ModelOrder, ModelWish, Work
from world import World, empty_database

from models import acceptance, errors, outbox, transition_requests
from models.acceptance import Item, Request
from models.analytics import daily_figures
from models.analytics.windows import Window
from models.identity.users import User
from models.lifecycle import Actor, Status
from models.transition_requests import Wish
from runtime import database
from runtime import settings as configuration
from runtime.database import Role
from workers.app import app

BOUNDED = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
PRICES = {"PLENTY": (1999, "EUR"), "SCARCE": (250, "EUR"), "LAST": (99_900, "EUR"), "YEN": (700, "JPY")}
STOCKED = {"PLENTY": 100_000, "SCARCE": 6, "LAST": 1, "YEN": 30}
UNKNOWN = "NOT-FOR-SALE"
# The database itself goes away between a task's last statement and its commit: SQLSTATE 57P01, as at a shutdown.
CRASH = """
    CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''57P01'', MESSAGE = ''died before the commit''; END';
    CREATE CONSTRAINT TRIGGER dies AFTER DELETE ON outbox DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION die()
"""
MEND = "DROP TRIGGER IF EXISTS dies ON outbox; DROP FUNCTION IF EXISTS die()"
POISON = """
    ALTER TABLE order_events ADD CONSTRAINT poisoned
    CHECK (order_id <> '{order_id}' OR to_status = 'failed') NOT VALID
"""
ANTIDOTE = "ALTER TABLE order_events DROP CONSTRAINT IF EXISTS poisoned"

people = st.integers(0, 2)
lines = st.dictionaries(
    st.sampled_from([*PRICES, "PLENTY", "SCARCE", UNKNOWN]), st.integers(1, 4), min_size=1, max_size=2
)
requests = st.tuples(people, st.integers(0, 11), lines, st.sampled_from([None, None, None, "A", "B"]))
some = st.integers(0, 1000)


class Orders(RuleBasedStateMachine):
    @initialize(automatic=st.booleans(), autopilot=st.booleans())
    def open_shop(self, automatic: bool, autopilot: bool) -> None:
        empty_database()
        set_policy(automatic=automatic, autopilot=autopilot)
        self.world = World()
        self.people: list[User] = [self.world.user() for _ in range(3)]
        for sku, (price, currency) in PRICES.items():
            self.world.product(sku, price_minor=price, currency=currency, on_hand=STOCKED[sku])
        self.accepted = AcceptanceModel(PRICES)
        self.model = Model(automatic, autopilot, STOCKED)
        self.done: list[int] = []
        self.send([self.draft(0, f"first-{number}", {"SCARCE": 2, "PLENTY": 1}, None) for number in range(4)])

    # ---- acceptance

    @rule(batch=st.lists(requests, min_size=1, max_size=4), twin=st.booleans())
    def clients_ask(self, batch: Sequence[Any], twin: bool) -> None:
        drafts = [self.draft(*each) for each in batch]
        self.send([*drafts, drafts[0]] if twin else drafts)

    @rule(who=people, key=st.integers(12, 999), count=st.integers(1, 4))
    def a_client_orders_what_is_there(self, who: int, key: int, count: int) -> None:
        self.send([self.draft(who, f"{key}-{number}", {"SCARCE": 1, "PLENTY": 2}, None) for number in range(count)])

    @precondition(lambda self: self.accepted.keys)
    @rule(which=st.lists(some, min_size=1, max_size=3))
    def clients_ask_again(self, which: Sequence[int]) -> None:
        kept = list(self.accepted.keys.values())
        self.send([kept[each % len(kept)][0] for each in which])

    @precondition(lambda self: self.accepted.keys)
    @rule(which=some, other=lines)
    def a_key_is_used_for_something_else(self, which: int, other: dict[str, int]) -> None:
        kept = list(self.accepted.keys.values())
        first = kept[which % len(kept)][0]
        self.send([Draft(first.user, first.key, tuple(other.items()), "other")])

    @rule(batch=st.lists(requests, min_size=1, max_size=3))
    def the_api_dies_before_it_commits(self, batch: Sequence[Any]) -> None:
        with database.transaction(Role.API) as connection:
            wanted = [request_of(self.draft(*each)) for each in batch]
            acceptance.accept(connection, wanted, self.world.terms)
            connection.rollback()

    # ---- what people wish for

    @precondition(lambda self: self.model.orders)
    @rule(
        which=some,
        to=st.sampled_from(["confirmed", "cancelled", "cancelled", "processing", "shipped", "delivered", "pending"]),
        actor=st.sampled_from(["owner", "staff", "staff"]),
        reason=st.sampled_from(["because", "because", None]),
        tracking=st.sampled_from(["TRACK-1", "TRACK-1", None]),
        behind=st.sampled_from([None, None, 0, 1]),
        times=st.integers(1, 2),
    )
    def somebody_asks_for_a_transition(
        self, which: int, to: str, actor: str, reason: str | None, tracking: str | None, behind: int | None, times: int
    ) -> None:
        order_id = self.pick(which)
        version = None if behind is None else self.model.orders[order_id].version - behind
        for _ in range(times):
            wish = ModelWish(order_id, to, actor, reason, tracking, version)
            result, request_id = self.ask(wish)
            assert result == self.model.ask(wish)
            if request_id:
                self.model.wishes[request_id] = wish

    @precondition(lambda self: any(order.status == "failed" for order in self.model.orders.values()))
    @rule()
    def staff_gives_a_failed_order_another_chance_and_an_old_message_waits_for_it(self) -> None:
        failed = [order_id for order_id, order in self.model.orders.items() if order.status == "failed"]
        wish = ModelWish(failed[0], "pending", "staff", "mended", None, None)
        result, request_id = self.ask(wish)
        assert result == self.model.ask(wish) == "recorded"
        assert request_id
        self.model.wishes[request_id] = wish
        waiting = self.waiting().items()
        wishes = [row for row, work in waiting if (work.kind, work.order_id) == ("orders.transition", failed[0])]
        self.deliver("orders.transition", wishes)
        self.dispatch(Work("orders.confirm", failed[0], 1))

    # ---- messages

    @precondition(lambda self: self.model.work)
    @rule(kind=some, which=st.lists(some, min_size=1, max_size=5), twice=st.booleans())
    def a_message_comes(self, kind: int, which: Sequence[int], twice: bool) -> None:
        waiting = self.waiting()
        kinds = sorted({work.kind for work in waiting.values()})
        chosen = kinds[kind % len(kinds)]
        candidates = [row for row, work in waiting.items() if work.kind == chosen]
        ids = list(dict.fromkeys(candidates[each % len(candidates)] for each in which))
        self.deliver(chosen, ids)
        if twice:
            app.tasks[chosen](ids)

    @rule()
    def everything_that_waits_comes(self) -> None:
        waiting = self.waiting()
        for kind in sorted({work.kind for work in waiting.values()}):
            self.deliver(kind, [row for row, work in waiting.items() if work.kind == kind])

    @precondition(lambda self: self.done)
    @rule(which=some, kind=st.sampled_from(["orders.confirm", "orders.process", "orders.ship", "orders.transition"]))
    def a_message_comes_long_after_its_work_was_done(self, which: int, kind: str) -> None:
        app.tasks[kind]([self.done[which % len(self.done)]])

    @precondition(lambda self: self.model.orders)
    @rule(
        which=some, behind=st.integers(0, 3), kind=st.sampled_from(["orders.confirm", "orders.process", "orders.ship"])
    )
    def work_is_dispatched_once_more(self, which: int, behind: int, kind: str) -> None:
        """For a version that may be long past, or present: then it waits beside the row that is there already."""
        order_id = self.pick(which)
        self.dispatch(Work(kind, order_id, max(1, self.model.orders[order_id].version - behind)))

    @precondition(lambda self: self.model.work)
    @rule(which=some)
    def a_row_is_doubled(self, which: int) -> None:
        """The same work stands in the outbox twice, and may come in one message."""
        waiting = list(self.waiting().values())
        self.dispatch(replace(waiting[which % len(waiting)], attempts=0))

    @precondition(lambda self: self.model.work)
    @rule(which=some, others=st.booleans())
    def a_task_dies_before_it_commits(self, which: int, others: bool) -> None:
        waiting = self.waiting()
        row = list(waiting)[which % len(waiting)]
        ids = [each for each, work in waiting.items() if work.kind == waiting[row].kind and (others or each == row)]
        with broken_by(self.world, CRASH, MEND):
            app.tasks[waiting[row].kind](ids)

    @precondition(lambda self: self.model.work)
    @rule(which=some, times=st.sampled_from([1, ATTEMPTS_MAX, ATTEMPTS_MAX]))
    def work_fails(self, which: int, times: int) -> None:
        waiting = self.waiting()
        row = list(waiting)[which % len(waiting)]
        kind = waiting[row].kind
        with broken_by(self.world, POISON.format(order_id=waiting[row].order_id), ANTIDOTE):
            for _ in range(times):
                if work := self.waiting().get(row):
                    app.tasks[kind]([row])
                    self.model.deliver_poisoned(work)

    # ---- the timetable

    @precondition(lambda self: self.model.orders)
    @rule(which=st.lists(some, max_size=3))
    def time_passes_and_the_sweep_comes(self, which: Sequence[int]) -> None:
        for order_id in {self.pick(each) for each in which}:
            self.world.sql("UPDATE orders SET due_at = now() - interval '1 second' WHERE id = :id", id=order_id)
            self.model.orders[order_id].overdue = True
        with database.transaction() as connection:
            outbox.put(connection, "orders.expire")
        self.world.work("orders.expire")
        self.model.expire()

    @rule()
    def what_is_folded_so_far_and_the_rest_make_the_whole(self) -> None:
        self.world.fold_once()
        with database.transaction(Role.API) as connection:
            _, counts = daily_figures.status_counts(connection, Window(None, None), exact=True)
        expected = Counter(order.status for order in self.model.orders.values())
        assert {str(status): count for status, count in counts.items() if count} == expected

    # ---- what must always be so

    @invariant()
    def every_order_is_where_it_should_be(self) -> None:
        rows = self.world.sql("SELECT id, status, version, total_minor, user_id, currency FROM orders")
        expected = {
            (order_id, order.status, order.version, order.total, order.user, order.currency)
            for order_id, order in self.model.orders.items()
        }
        assert {tuple(row) for row in rows} == expected

    @invariant()
    def every_journey_is_told_without_gaps(self) -> None:
        told: dict[UUID, list[Any]] = {}
        for row in self.world.sql("SELECT * FROM order_events ORDER BY order_id, version"):
            told.setdefault(row.order_id, []).append(row)
        assert told.keys() == self.model.orders.keys()
        for order_id, events in told.items():
            journey = self.model.orders[order_id].journey
            assert [event.version for event in events] == list(range(1, len(journey) + 1))
            assert [event.to_status for event in events] == journey
            assert [event.from_status for event in events] == [None, *journey[:-1]]

    @invariant()
    def the_stock_follows_from_where_the_orders_are(self) -> None:
        rows = self.world.sql("SELECT sku, on_hand, reserved FROM products")
        assert {row.sku: (row.on_hand, row.reserved) for row in rows} == self.model.stock()

    @invariant()
    def every_key_has_its_one_answer_and_every_order_its_one_key(self) -> None:
        rows = self.world.sql("SELECT user_id, key, status, body, order_id FROM idempotency_keys")
        kept = {
            (*claim, answer.status, answer.body, answer.order_id) for claim, (_, answer) in self.accepted.keys.items()
        }
        assert {tuple(row) for row in rows} == kept
        assert Counter(row.order_id for row in rows if row.order_id) == Counter(list(self.model.orders))

    @invariant()
    def the_outbox_holds_the_work_there_is_and_no_other(self) -> None:
        assert Counter(self.waiting().values()) == self.model.work
        for order_id in self.model.orders:
            if (needed := self.model.needs(order_id)) and needed not in self.model.dead:
                waits = [work for work in self.model.work if work.order_id == order_id]
                assert any((work.kind, work.version) == (needed.kind, needed.version) for work in waits)

    @invariant()
    def every_wish_has_its_outcome(self) -> None:
        rows = self.world.sql("SELECT id, state, refusal FROM transition_requests")
        assert {row.id: row.refusal or row.state for row in rows} == {
            request_id: wish.outcome for request_id, wish in self.model.wishes.items()
        }

    def teardown(self) -> None:
        if sys.exc_info()[0]:  # A step has failed: that is the news, not what follows from it.
            return
        self.world.fold()
        per_day = self.world.sql("SELECT * FROM daily_orders WHERE orders <> 0 OR amount_minor <> 0")
        assert {
            (str(row.placed_on), row.currency, row.status): (row.orders, row.amount_minor) for row in per_day
        } == self.model.per_day()
        revenue = self.world.sql("SELECT * FROM daily_user_revenue WHERE orders <> 0 OR revenue_minor <> 0")
        assert {
            (str(row.placed_on), row.user_id, row.currency): (row.orders, row.revenue_minor) for row in revenue
        } == self.model.revenue_per_user()

    # ---- how it is done

    def pick(self, which: int) -> UUID:
        return list(self.model.orders)[which % len(self.model.orders)]

    def draft(self, who: int, key: object, wanted: dict[str, int], reference: str | None) -> Draft:
        return Draft(self.people[who].id, str(key), tuple(wanted.items()), reference)

    def send(self, batch: Sequence[Draft]) -> None:
        outcomes = self.world.accept(*[request_of(draft) for draft in batch])
        for draft, answer in self.accepted.record(batch, outcomes):
            assert answer.order_id
            order = self.world.order(answer.order_id)
            [currency] = self.accepted.currencies(draft)
            day = str(date.fromisoformat(answer.body.decode().partition('"placed_at":"')[2][:10]))
            assert str(order.placed_on) == day
            placed = ModelOrder(draft.user, day, currency, self.accepted.total(draft), dict(draft.lines))
            self.model.place(answer.order_id, placed)

    def ask(self, wish: ModelWish) -> tuple[str, UUID | None]:
        user = self.model.orders[wish.order_id].user
        versions = None if wish.version is None else frozenset({wish.version})
        wanted = Wish(Status(wish.to), Actor(wish.actor), user, wish.reason, wish.tracking, versions)
        try:
            with database.transaction(Role.API) as connection:
                _, recorded = transition_requests.ask(connection, wish.order_id, None, wanted)
        except errors.OrderPipelineError as error:
            return error.code, None
        return ("recorded", recorded.id) if recorded else ("already", None)

    def waiting(self) -> dict[int, Work]:
        # What has failed is not taken before its back-off is over: here it always is.
        self.world.sql("UPDATE outbox SET available_at = now() WHERE available_at > now()")
        rows = self.world.sql("SELECT * FROM outbox WHERE order_id IS NOT NULL ORDER BY id")
        return {row.id: Work(row.kind, row.order_id, row.expected_version, row.attempts) for row in rows}

    def dispatch(self, work: Work) -> None:
        with database.transaction() as connection:
            outbox.put(connection, work.kind, work.order_id, work.version)
        self.model.work[work] += 1

    def deliver(self, kind: str, ids: Sequence[int]) -> None:
        waiting = self.waiting()
        rows = [waiting[row] for row in ids]
        app.tasks[kind](ids)
        self.model.deliver(kind, rows)
        self.done += ids


def request_of(draft: Draft) -> Request:
    items = tuple(Item(*line) for line in draft.lines)
    fingerprint = repr((draft.lines, draft.reference)).encode()
    return Request(draft.user, Actor.OWNER, draft.key, fingerprint, items, draft.reference)


def set_policy(**switches: bool) -> None:
    """As an operator would: in the environment, read anew by whoever starts."""
    os.environ["CONFIRMATION"] = "automatic" if switches["automatic"] else "manual"
    os.environ["AUTOPILOT"] = str(switches["autopilot"]).lower()
    configuration.current.cache_clear()


@contextmanager
def broken_by(world: World, breakage: str, repair: str) -> Iterator[None]:
    world.sql(breakage)
    try:
        yield
    finally:
        world.sql(repair)


@pytest.mark.timeout(600)  # A failure is worth the time it takes to find its shortest form.
def test_whatever_happens_the_database_says_what_a_dictionary_says() -> None:
    before = {name: os.environ.get(name) for name in ("CONFIRMATION", "AUTOPILOT")}
    try:
        run_state_machine_as_test(Orders, settings=BOUNDED)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        configuration.current.cache_clear()
