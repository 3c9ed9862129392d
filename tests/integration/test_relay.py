"""The relay: what is due goes out once, and what outlives its lease goes out again."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from world import World

from models import outbox
from models.lifecycle import Status
from runtime import database
from workers.app import app
from workers.relay import IN_FLIGHT_MAX, Batch, BrokerUnreachable, Relay

LEASE = timedelta(seconds=30)


class Queue:
    """Stands where the broker stands: keeps messages until somebody fetches them, or it loses them."""

    def __init__(self) -> None:
        self.messages: list[Batch] = []
        self.is_down = False

    def ring(self, batches: Sequence[Batch]) -> None:
        if self.is_down:
            raise BrokerUnreachable
        self.messages += batches

    def queue(self, kind: str) -> str:
        return kind.partition(".")[0]

    def waiting(self, queue: str) -> int:
        return sum(1 for message in self.messages if self.queue(message.kind) == queue)

    def lose_everything(self) -> list[Batch]:
        lost, self.messages = self.messages, []
        return lost

    def deliver(self) -> int:
        """A worker fetches and does all that waits."""
        batches = self.lose_everything()
        for batch in batches:
            app.tasks[batch.kind](list(batch.ids))
        return len(batches)


class Bench:
    """A relay on its bench: a queue, a clock that is turned by hand, and a connection."""

    def __init__(self, world: World) -> None:
        self.queue = Queue()
        self.now = 0.0
        self.relay = self.leader(world)

    def leader(self, world: World) -> Relay:
        return Relay(self.queue, LEASE, monotonic=lambda: self.now)

    def read_slow_clock(self) -> float:
        """Half a second later than when it was read last."""
        self.now += 0.5
        return self.now

    def turn(self, after: float = 0.0, relay: Relay | None = None) -> int:
        self.now += after
        with database.session() as connection:
            return (relay or self.relay).turn(connection)


@pytest.fixture
def bench(world: World) -> Bench:
    return Bench(world)


def orders(world: World, count: int) -> list[UUID]:
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}) for _ in range(count)])
    return [order.id for order in world.orders()]


def test_due_rows_go_out_in_few_messages_and_only_once(world: World, bench: Bench) -> None:
    orders(world, 250)
    assert bench.turn() == 250
    assert [len(message.ids) for message in bench.queue.messages] == [100, 100, 50]
    assert bench.turn(after=0.01) == 0
    assert bench.turn(after=2) == 0


def test_work_that_follows_is_found_by_the_next_turn(world: World, bench: Bench) -> None:
    [order] = orders(world, 1)
    turns = 0
    while world.status(order) is not Status.DELIVERED:
        bench.turn(after=0.01)
        bench.queue.deliver()
        turns += 1
    assert turns == 4


def test_delayed_work_goes_out_when_it_is_due_and_not_before(world: World, bench: Bench) -> None:
    orders(world, 1)
    world.sql("UPDATE outbox SET available_at = now() + interval '1 hour'")
    assert bench.turn() == 0
    world.sql("UPDATE outbox SET available_at = now()")
    assert bench.turn(after=0.05) == 1


def test_a_row_committed_long_after_it_was_written_is_found_by_the_full_scan(world: World, bench: Bench) -> None:
    assert bench.turn() == 0
    orders(world, 1)
    world.sql("UPDATE outbox SET available_at = now() - interval '10 seconds'")
    assert bench.turn(after=0.01) == 0, "the quick scan looks only at what became due lately"
    assert bench.turn(after=1) == 1


def test_messages_that_the_broker_lost_are_sent_again_alone(world: World, bench: Bench) -> None:
    placed = orders(world, 3)
    bench.turn()
    bench.queue.lose_everything()
    assert bench.turn(after=LEASE.total_seconds() - 1) == 0
    bench.turn(after=2)
    world.sql("UPDATE outbox SET available_at = now()")
    bench.turn(after=2)
    assert [len(message.ids) for message in bench.queue.messages] == [1, 1, 1]
    bench.queue.deliver()
    assert {world.status(order) for order in placed} == {Status.CONFIRMED}


def test_a_message_that_still_waits_in_its_queue_is_not_sent_again_and_no_attempt_is_counted(
    world: World, bench: Bench
) -> None:
    orders(world, 3)
    bench.turn()
    for _ in range(20):
        assert bench.turn(after=LEASE.total_seconds()) == 0
    assert len(bench.queue.messages) == 1
    assert world.sql("SELECT max(attempts) FROM outbox")[0][0] == 0


def test_a_message_that_was_fetched_and_lost_counts_even_while_later_ones_wait(world: World, bench: Bench) -> None:
    orders(world, 1)
    bench.turn()
    bench.queue.lose_everything()  # fetched by a worker that was killed
    orders(world, 1)
    bench.turn(after=1)
    bench.turn(after=LEASE.total_seconds())
    attempts = [row[0] for row in world.sql("SELECT attempts FROM outbox ORDER BY id")]
    assert attempts == [1, 0]


def test_a_worker_that_dies_of_a_row_every_time_ends_it_in_the_dead_letters(world: World, bench: Bench) -> None:
    [order] = orders(world, 1)
    for _ in range(8):
        world.sql("UPDATE outbox SET available_at = now()")
        bench.turn(after=2)
        bench.queue.lose_everything()
        bench.turn(after=LEASE.total_seconds())
    assert world.sql("SELECT attempts, error FROM dead_letters")[0][:] == (8, "not done within its lease")
    assert world.journey(order) == ["pending", "failed"]


def test_a_row_that_a_worker_is_busy_with_is_left_alone(world: World, bench: Bench) -> None:
    orders(world, 1)
    bench.turn()
    bench.queue.lose_everything()
    with database.transaction() as worker:
        worker.exec_driver_sql("SELECT 1 FROM outbox FOR UPDATE")
        bench.turn(after=LEASE.total_seconds())
        assert world.sql("SELECT attempts FROM outbox")[0][0] == 0


def test_with_the_broker_down_work_waits_and_goes_out_when_it_is_back(world: World, bench: Bench) -> None:
    orders(world, 5)
    bench.queue.is_down = True
    with pytest.raises(BrokerUnreachable):
        bench.turn()
    bench.queue.is_down = False
    assert bench.turn(after=1) == 5


def test_a_new_leader_sends_again_what_the_old_one_had_sent_and_nothing_happens_twice(
    world: World, bench: Bench
) -> None:
    placed = orders(world, 20)
    bench.turn()
    assert bench.turn(relay=bench.leader(world)) == 20
    bench.queue.deliver()
    assert Counter(len(world.events(order)) for order in placed) == {2: 20}


def test_the_broker_never_holds_more_than_a_bounded_number_of_rows(world: World, bench: Bench) -> None:
    world.sql(
        "INSERT INTO outbox (kind, order_id, expected_version)"
        " SELECT 'orders.confirm', gen_random_uuid(), 1 FROM generate_series(1, :rows)",
        rows=IN_FLIGHT_MAX + 500,
    )
    assert bench.turn() == IN_FLIGHT_MAX
    assert bench.turn(after=0.01) == 0
    bench.queue.deliver()
    assert bench.turn(after=0.2) == 500


def test_a_full_scan_that_takes_long_is_made_the_more_seldom(world: World, bench: Bench) -> None:
    relay = Relay(bench.queue, LEASE, monotonic=bench.read_slow_clock)
    assert bench.turn(relay=relay) == 0
    orders(world, 1)
    world.sql("UPDATE outbox SET available_at = now() - interval '1 hour'")
    assert bench.turn(after=2, relay=relay) == 0, "the one before took half a second: not yet"
    assert bench.turn(after=25, relay=relay) == 1


def test_what_was_dispatched_and_what_again_is_counted(world: World, bench: Bench) -> None:
    orders(world, 120)
    bench.turn()
    assert bench.relay.counts == {"in_flight": 120, "dispatched": 120, "redispatched": 0, "messages": 2}
    bench.queue.lose_everything()
    bench.turn(after=LEASE.total_seconds())
    world.sql("UPDATE outbox SET available_at = now()")
    bench.turn(after=2)
    assert bench.relay.counts == {"in_flight": 120, "dispatched": 240, "redispatched": 120, "messages": 122}
    bench.queue.deliver()
    world.sql("DELETE FROM outbox")
    bench.turn(after=2)
    assert bench.relay.counts["in_flight"] == 0


def test_a_message_names_each_request_and_trace_of_its_rows_once(world: World, bench: Bench) -> None:
    bowl, user = world.product(), world.user()
    world.accept(*[world.request(user, {bowl.sku: 1}, request_id=f"request-{number % 3}") for number in range(9)])
    world.sql("UPDATE outbox SET traceparent = 'trace'")
    bench.turn()
    [message] = bench.queue.messages
    assert message.request_ids == ("request-0", "request-1", "request-2")
    assert message.traceparents == ("trace",)


def test_a_row_that_failed_between_two_looks_is_dispatched_again_after_its_back_off(bench: Bench, world: World) -> None:
    """Found by a review on 25 November 2026. The relay saw that a row had failed by its not being due. It looks every
    second, and the first back-off is a second, too: a row that failed right after one look was due again at the next,
    passed for one in work, waited for its whole lease, and was charged for it. Now a lease is for one attempt."""
    orders(world, 1)
    assert bench.turn() == 1
    [batch] = bench.queue.lose_everything()
    with database.transaction() as connection:
        [failed] = outbox.postpone(connection, batch.ids, "it failed")
        assert (failed.id, failed.attempts) == (batch.ids[0], 1)
    world.sql("UPDATE outbox SET available_at = now()")
    assert bench.turn(after=1.05) == 1
    [again] = bench.queue.lose_everything()
    assert (again.ids, again.attempts) == (batch.ids, 1)
    bench.turn(after=1.05)
    assert world.sql("SELECT attempts, last_error FROM outbox")[0][:] == (1, "it failed")
