"""What a worker process makes of messages that are late, repeated, strange or malicious: one effect, or a dead letter.

S40: Celery speaks JSON only; a pickle message is not executed; an unknown task goes to the dead letters.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running_system import eventually
from worker_process import Worker, working
from world import World

from models import outbox
from models.lifecycle import Status
from runtime import database, settings

pytestmark = pytest.mark.timeout(120)

CANARY = "canary-4711"
EARLIER = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with working() as started:
        yield started


@pytest.fixture(autouse=True)
def _goes_on(world: World, worker: Worker) -> Iterator[None]:
    """After every one of these messages the same process does honest work, and has logged nothing of a body."""
    yield
    assert worker.process.poll() is None, worker.stderr.read_text()[-5000:]
    world.sql("DELETE FROM outbox")
    order = world.place(world.user(), {world.product().sku: 1})
    worker.ring("orders.confirm", [row.id for row in world.due()])
    eventually(lambda: world.status(order.id) is Status.CONFIRMED, "honest work")
    assert worker.process.poll() is None
    assert CANARY not in worker.stderr.read_text()


def letters(world: World) -> list[tuple[str, str, str, int]]:
    rows = world.sql("SELECT origin, kind, error, attempts FROM dead_letters ORDER BY id")
    return [tuple(row) for row in rows]


def assert_letter(world: World, kind: str, error: str, attempts: int = 1) -> None:
    expected = [("message", kind, error, attempts)]
    eventually(lambda: letters(world) == expected, f"{expected}, and not {letters(world)}")


def test_a_message_that_comes_five_times_has_one_effect(world: World, worker: Worker) -> None:
    bowl = world.product(on_hand=10)
    order = world.place(world.user(), {bowl.sku: 1})
    ids = [row.id for row in world.due()]
    for _ in range(5):
        worker.ring("orders.confirm", ids)
    after_them(world, worker)
    assert world.journey(order.id) == ["pending", "confirmed"]
    assert world.stock(bowl.sku) == (10, 1)
    assert letters(world) == []


def test_a_message_whose_rows_are_done_or_whose_orders_have_moved_on_does_nothing(world: World, worker: Worker) -> None:
    bowl = world.product(on_hand=10)
    order = world.place(world.user(), {bowl.sku: 1})
    old = [row.id for row in world.due()]
    world.work_until_idle()
    with database.transaction() as connection:
        outbox.put(connection, "orders.confirm", order.id, expected_version=1)
    stale = [row.id for row in world.due()]
    worker.ring("orders.confirm", [*old, *stale])
    after_them(world, worker)
    assert world.journey(order.id)[-1] == "delivered" and len(world.events(order.id)) == 5
    assert world.stock(bowl.sku) == (9, 0)
    assert letters(world) == []


def test_a_failing_row_counts_one_attempt_however_often_its_message_comes(world: World, worker: Worker) -> None:
    bowl = world.product(on_hand=10)
    world.place(world.user(), {bowl.sku: 1})
    ids = [row.id for row in world.due()]
    world.sql(f"ALTER TABLE products ADD CONSTRAINT locked_up CHECK (sku <> '{bowl.sku}' OR reserved = 0)")
    try:
        world.sql("UPDATE outbox SET attempts = 5")  # so that its back-off outlasts the test
        for _ in range(5):
            worker.ring("orders.confirm", ids)
        after_them(world, worker)
        assert world.sql("SELECT attempts FROM outbox WHERE id = ANY(:ids)", ids=ids)[0][0] == 6
    finally:
        world.sql("ALTER TABLE products DROP CONSTRAINT locked_up")


def test_s40_an_unknown_task_leaves_one_dead_letter_however_often_it_comes(world: World, worker: Worker) -> None:
    for _ in range(5):
        worker.ring("orders.nobody-can", [4711, CANARY])
    assert_letter(world, "orders.nobody-can", "no task has this name", attempts=5)


def test_rows_of_an_unknown_kind_count_attempts_and_end_in_the_dead_letters(world: World, worker: Worker) -> None:
    with database.transaction() as connection:
        outbox.put(connection, "orders.nobody-can")
    [row] = world.due()
    for attempt in range(1, settings.current().max_attempts):
        worker.ring("orders.nobody-can", [row.id])
        eventually(lambda: world.sql("SELECT attempts FROM outbox")[0][0] == attempt, f"attempt {attempt}")  # noqa: B023
        world.sql("UPDATE outbox SET available_at = now()")
    assert letters(world) == []
    worker.ring("orders.nobody-can", [row.id])
    expected = [("outbox", "orders.nobody-can", "no task has this name", 8)]
    eventually(lambda: letters(world) == expected, "the dead letter of the row")
    assert world.due() == []


@pytest.mark.parametrize("task", ["orders.nobody-can", "orders.ship"])
def test_a_message_does_not_touch_rows_of_another_kind(world: World, worker: Worker, task: str) -> None:
    order = world.place(world.user(), {world.product().sku: 1})
    [row] = world.due()
    worker.ring(task, [row.id])
    after_them(world, worker)
    assert world.status(order.id) is Status.PENDING
    assert [(due.id, due.attempts) for due in world.due()] == [(row.id, 0)]


class Bomb:
    """Unpickled, it leaves a crater."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.crater,))


@pytest.mark.parametrize("is_named", [True, False], ids=["protocol 2", "protocol 1"])
def test_s40_a_pickle_message_is_not_executed(world: World, worker: Worker, tmp_path: Path, is_named: bool) -> None:
    crater = tmp_path / "crater"
    headers = {"task": "orders.confirm", "id": EARLIER} if is_named else None
    worker.send([[Bomb(crater)], {}, {}], headers, serializer="pickle")
    assert_letter(world, "orders.confirm" if is_named else "(none)", "the message is not in JSON")
    assert not crater.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [[], {}, {}],
        [["1"], {}, {}],
        [[[CANARY]], {}, {}],
        [[[1, True]], {}, {}],
        [[[2**63]], {}, {}],
        [[[-1]], {}, {}],
        [[[[1]]], {}, {}],
        [[[1], [2]], {}, {}],
        [[[1]], {CANARY: 1}, {}],
        [[list(range(1, 2000))], {}, {}],
    ],
)
def test_arguments_that_are_no_ids_leave_a_dead_letter(world: World, worker: Worker, arguments: list[object]) -> None:
    worker.send(arguments, {"task": "orders.confirm", "id": EARLIER})
    assert_letter(world, "orders.confirm", "the arguments are not ids of outbox rows")


@pytest.mark.parametrize("body", [CANARY, {"a": CANARY}, [], [1], None, {"task": CANARY}])
def test_a_message_that_names_no_task_of_ours_leaves_a_dead_letter(world: World, worker: Worker, body: object) -> None:
    worker.send(body)
    eventually(lambda: len(letters(world)) == 1, f"a dead letter, and not {letters(world)}")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"", CANARY.encode()])
def test_a_body_that_is_no_json_leaves_a_dead_letter(world: World, worker: Worker, body: bytes) -> None:
    headers = {"task": "orders.confirm", "id": EARLIER}
    worker.send(body, headers, content_type="application/json", content_encoding="utf-8")
    eventually(lambda: len(letters(world)) == 1, f"a dead letter, and not {letters(world)}")


def test_a_name_is_kept_in_characters_that_can_be_shown_anywhere(world: World, worker: Worker) -> None:
    worker.ring("a\0b\x1b[31m" + "x" * 500, [1])
    assert_letter(world, "a?b??31m" + "x" * 92, "no task has this name")


def test_a_child_forked_after_a_refusal_leaves_its_parents_connection_alone(world: World, worker: Worker) -> None:
    """The parent refuses messages itself, over a connection that every later child inherits a copy of."""
    worker.ring("orders.nobody-can", [1])
    assert_letter(world, "orders.nobody-can", "no task has this name")
    before = psutil.Process(worker.process.pid).children()
    for child in before:
        child.kill()
    after_them(world, worker)
    assert not set(before) & set(psutil.Process(worker.process.pid).children())
    worker.ring("orders.nobody-can", [1])
    assert_letter(world, "orders.nobody-can", "no task has this name", attempts=2)


def after_them(world: World, worker: Worker) -> None:
    """Wait until everything that was sent has been worked off: the queue is first in, first out, with one child."""
    last = world.place(world.user(), {world.product().sku: 1})
    [[row]] = world.sql("SELECT id FROM outbox WHERE order_id = :id", id=last.id)
    worker.ring("orders.confirm", [row])
    eventually(lambda: world.status(last.id) is Status.CONFIRMED, "the last message")
    world.sql("DELETE FROM outbox WHERE order_id = :id", id=last.id)
