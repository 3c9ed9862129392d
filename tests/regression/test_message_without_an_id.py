"""One message kept a worker from all work until it gave up (found on 25 November 2026).

kombu counts KeyError among the errors of a lost Redis connection. A message that names a task of ours and lacks its id
made Celery raise one; the worker took the broker for lost, connected again, was given the same message again, and
after five rounds within a second it stopped. Such a message is refused now like any other that is none of ours.
"""

import pytest
from running_system import eventually
from worker_process import working
from world import World

from models.lifecycle import Status

pytestmark = pytest.mark.timeout(120)


def test_a_message_without_an_id_is_refused_and_the_worker_goes_on(world: World) -> None:
    with working() as worker:
        for _ in range(3):
            worker.send({"task": "orders.confirm"})
        order = world.place(world.user(), {world.product().sku: 1})
        worker.ring("orders.confirm", [row.id for row in world.due()])
        eventually(lambda: world.status(order.id) is Status.CONFIRMED, "honest work behind it")
        assert worker.process.poll() is None
    assert world.sql("SELECT origin, attempts FROM dead_letters")[0][:] == ("message", 3)
