"""What a person does about dead letters: each is resolved once, and what is queued for it can do no harm."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

import pytest
from at_once import at_once
from world import World

from models import dead_letter_desk, dead_letters, errors, outbox, transition_requests
from models.dead_letter_desk import Resolver
from models.dead_letters import Filter, Letter, Resolution, State
from models.lifecycle import Actor, Policy, Status
from models.transition_requests import Wish
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Confirmation

OPS = Resolver("cli:ops")


def bury(world: World, kind: str | None = None) -> Letter:
    """The work that is due becomes a dead letter, after its last attempt."""
    [row] = [row.id for row in world.due() if kind in (None, row.kind)]
    with database.transaction() as connection:
        dead_letters.bury(connection, [row], "ValueError: it did not work", "Traceback …", world.policy)
    return letters()[0]


def letters(narrowed: Filter | None = None, before: int | None = None, limit: int = 100) -> list[Letter]:
    with database.transaction(Role.API) as connection:
        return dead_letters.page(connection, narrowed or Filter(), before, limit)


def replay(letter: Letter, policy: Policy | None = None, reason: str | None = None) -> Letter:
    """By the API's role: it must need no more than it has."""
    policy = policy or Policy.of(settings.current())
    with database.transaction(Role.API) as connection:
        return dead_letter_desk.replay(connection, letter.id, OPS, policy, reason)


def discard(letter: Letter, reason: str = "not needed") -> Letter:
    with database.transaction(Role.API) as connection:
        return dead_letter_desk.discard(connection, letter.id, OPS, reason)


def place(world: World, on_hand: int = 1_000_000) -> tuple[UUID, str]:
    sku = world.product(on_hand=on_hand).sku
    return world.place(world.user(), {sku: 2}).id, sku


def queued(world: World) -> list[tuple[str, UUID | None, int | None]]:
    rows = world.sql("SELECT kind, order_id, expected_version FROM outbox ORDER BY id")
    return [(row.kind, row.order_id, row.expected_version) for row in rows]


def test_a_failed_order_is_asked_back_to_pending_and_goes_its_way_with_its_stock_reserved_once(world: World) -> None:
    order, sku = place(world, on_hand=10)
    world.work("orders.confirm")
    assert world.stock(sku) == (10, 2)
    letter = bury(world)
    assert (world.status(order), world.stock(sku)) == (Status.FAILED, (10, 0))
    replayed = replay(letter, reason="the warehouse answers again")
    assert (replayed.resolved_how, replayed.resolved_by) == (Resolution.RETRIED, "cli:ops")
    assert queued(world) == [("orders.transition", order, 3)]
    world.work("orders.transition")
    back = world.events(order)[-1]
    assert (back.to_status, back.actor, back.reason) == ("pending", "staff", "the warehouse answers again")
    assert world.stock(sku) == (10, 0)
    world.work("orders.confirm")
    assert world.stock(sku) == (10, 2)
    world.work_until_idle()
    assert world.journey(order) == [
        *("pending", "confirmed", "failed"),
        *("pending", "confirmed", "processing", "shipped", "delivered"),
    ]
    assert world.stock(sku) == (8, 0)


def test_without_a_reason_the_event_names_the_letter(world: World) -> None:
    order, _ = place(world)
    letter = bury(world)
    replay(letter)
    world.work("orders.transition")
    assert world.events(order)[-1].reason == f"dead letter {letter.id} was replayed"


def test_replaying_again_answers_the_same_and_queues_nothing(world: World) -> None:
    place(world)
    letter = bury(world)
    first = replay(letter)
    assert replay(letter) == first
    assert len(queued(world)) == 1
    world.work_until_idle()
    assert replay(letter) == first
    assert queued(world) == []


@pytest.mark.parametrize("act", [replay, discard])
def test_of_many_who_resolve_a_letter_at_once_one_does(world: World, act: Callable[[Letter], Letter]) -> None:
    for _ in range(20):
        place(world)
        letter = bury(world)
        answers = at_once(*[partial(act, letter)] * 8)
        assert len(set(answers)) == 1
        assert len(queued(world)) == (1 if act is replay else 0)
        world.sql("DELETE FROM outbox")


def test_of_one_who_replays_and_one_who_discards_only_one_has_their_way(world: World) -> None:
    for _ in range(20):
        place(world)
        letter = bury(world)

        def attempt(act: Callable[[Letter], Letter], letter: Letter = letter) -> Letter | None:
            try:
                return act(letter)
            except errors.LetterResolved:
                return None

        answers = at_once(lambda: attempt(replay), lambda: attempt(discard))
        [winner] = [answer for answer in answers if answer is not None]
        assert len(queued(world)) == (1 if winner.resolved_how is Resolution.RETRIED else 0)
        world.sql("DELETE FROM outbox")


def test_two_letters_of_one_failed_order_bring_it_back_once(world: World) -> None:
    order, sku = place(world, on_hand=10)
    with database.transaction() as connection:
        outbox.put(connection, "orders.confirm", order, expected_version=1)
    for row in world.due():
        with database.transaction() as connection:
            dead_letters.bury(connection, [row.id], "error", None, world.policy)
    first, second = letters()
    assert {replay(first).resolved_how, replay(second).resolved_how} == {Resolution.RETRIED}
    world.work_until_idle()
    assert world.journey(order)[:3] == ["pending", "failed", "pending"] and world.journey(order).count("pending") == 2
    assert world.stock(sku) == (8, 0)


def test_work_of_an_order_that_could_not_fail_is_queued_for_its_present_version(world: World) -> None:
    order, _ = place(world)
    world.work("orders.confirm")
    world.work("orders.process")
    world.sql("UPDATE products SET reserved = 0")  # so that failing, which gives stock back, is refused too
    letter = bury(world, "orders.ship")
    assert world.status(order) is Status.PROCESSING
    assert replay(letter).resolved_how is Resolution.REPLAYED
    assert queued(world) == [("orders.ship", order, 3)]


def test_work_whose_order_has_moved_on_is_moot(world: World) -> None:
    order, _ = place(world)
    world.work("orders.confirm")
    with database.transaction() as connection:
        outbox.put(connection, "orders.confirm", order, expected_version=1)
        [[stale]] = connection.exec_driver_sql("SELECT max(id) FROM outbox")
        connection.exec_driver_sql(
            "INSERT INTO dead_letters (kind, order_id, expected_version, error, attempts, first_at, last_at)"
            " SELECT kind, order_id, expected_version, 'late', 8, now(), now() FROM outbox WHERE id = %s",
            (stale,),
        )
        connection.exec_driver_sql("DELETE FROM outbox")
    [letter] = letters()
    assert replay(letter).resolved_how is Resolution.MOOT
    assert queued(world) == []


def test_work_that_this_deployment_leaves_to_people_is_queued_only_where_it_was_meant_for(world: World) -> None:
    order, _ = place(world)
    bury(world)
    world.sql("UPDATE orders SET status = 'pending', version = 5")
    by_hand = replace(world.policy, confirmation=Confirmation.MANUAL)
    assert replay(letters()[0], by_hand).resolved_how is Resolution.MOOT
    world.sql("UPDATE dead_letters SET resolved_at = null, resolved_by = null, resolved_how = null")
    assert replay(letters()[0]).resolved_how is Resolution.REPLAYED
    assert queued(world) == [("orders.confirm", order, 5)]


def test_a_letter_without_its_order_is_moot(world: World) -> None:
    world.sql("INSERT INTO outbox (kind, order_id) VALUES ('orders.confirm', :id)", id=uuid4())
    assert replay(bury(world)).resolved_how is Resolution.MOOT


@pytest.mark.parametrize("kind", ["rollups.fold", "of-a-newer-version"])
def test_a_tick_is_queued_again_and_only_once(world: World, kind: str) -> None:
    for _ in range(2):
        with database.transaction() as connection:
            outbox.put(connection, kind)
        bury(world)
    assert [replay(letter).resolved_how for letter in letters()] == [Resolution.REPLAYED] * 2
    assert queued(world) == [(kind, None, None)]


def test_a_transition_that_was_asked_for_stays_refused(world: World) -> None:
    order, _ = place(world)
    world.work("orders.confirm")
    world.work("orders.process")
    world.work("orders.ship")
    world.sql("DELETE FROM outbox")
    wish = Wish(Status.DELIVERED, Actor.STAFF, world.user().id)
    with database.transaction(Role.API) as connection:
        transition_requests.ask(connection, order, None, wish)
    letter = bury(world)
    assert replay(letter).resolved_how is Resolution.MOOT
    assert queued(world) == []
    assert world.sql("SELECT state, refusal FROM transition_requests")[0][:] == ("refused", "attempts_exhausted")
    assert world.status(order) is Status.SHIPPED


def test_a_letter_of_a_message_can_only_be_discarded(world: World) -> None:
    with database.transaction() as connection:
        dead_letters.note_message(connection, "nobody-can", "no task has this name")
    [letter] = letters()
    with pytest.raises(errors.NothingToReplay):
        replay(letter)
    assert discard(letter).resolved_how is Resolution.DISCARDED


def test_what_is_discarded_stays_so_and_keeps_its_first_reason(world: World) -> None:
    order, _ = place(world)
    letter = bury(world)
    first = discard(letter, "the customer bought elsewhere")
    assert discard(letter, "another") == first
    assert first.resolved_because == "the customer bought elsewhere"
    with pytest.raises(errors.LetterResolved):
        replay(letter)
    assert (world.status(order), queued(world)) == (Status.FAILED, [])


def test_what_was_replayed_is_not_discarded(world: World) -> None:
    place(world)
    letter = bury(world)
    replay(letter)
    with pytest.raises(errors.LetterResolved):
        discard(letter)


@pytest.mark.parametrize("act", [replay, discard])
def test_what_is_not_there_is_not_resolved(world: World, act: Callable[[Letter], Letter]) -> None:
    place(world)
    letter = bury(world)
    world.sql("DELETE FROM dead_letters")
    with pytest.raises(errors.NotFound):
        act(letter)


def test_a_replay_and_what_it_queues_are_one_transaction(world: World) -> None:
    order, _ = place(world)
    letter = bury(world)
    with pytest.raises(ZeroDivisionError), database.transaction(Role.API) as connection:
        dead_letter_desk.replay(connection, letter.id, OPS, world.policy)
        raise ZeroDivisionError
    assert letters()[0].resolved_how is None
    assert (queued(world), world.status(order)) == ([], Status.FAILED)


def test_the_list_is_narrowed_by_state_kind_order_and_time(world: World) -> None:
    first, _ = place(world)
    bury(world)
    place(world)
    resolved = bury(world)
    discard(resolved)
    with database.transaction() as connection:
        outbox.put(connection, "rollups.fold")
    tick = bury(world)
    world.sql("UPDATE dead_letters SET last_at = now() - interval '1 day' WHERE order_id = :id", id=first)
    everything = Filter(State.ALL)
    old, *_ = sorted(letters(everything), key=lambda letter: letter.id)
    assert letters(everything) == [replace(letter, traceback=None) for letter in letters(everything)]
    assert [letter.id for letter in letters(everything)] == [tick.id, resolved.id, old.id]
    assert [letter.id for letter in letters()] == [tick.id, old.id]
    assert [letter.id for letter in letters(Filter(State.RESOLVED))] == [resolved.id]
    assert [letter.id for letter in letters(Filter(kind="rollups.fold"))] == [tick.id]
    assert [letter.id for letter in letters(Filter(order_id=first))] == [old.id]
    assert [letter.id for letter in letters(Filter(State.ALL, since=tick.last_at))] == [tick.id]
    assert [letter.id for letter in letters(everything, before=resolved.id)] == [old.id]


def test_an_order_whose_failing_a_trigger_forbids_still_gets_its_letter(world: World) -> None:
    order, _ = place(world)
    world.sql("CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    world.sql("CREATE TRIGGER forbid BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION forbid()")
    try:
        assert bury(world).order_id == order
    finally:
        world.sql("DROP FUNCTION forbid() CASCADE")
    assert world.status(order) is Status.PENDING
