"""The relay spent more on looking for work than the workers on doing it (benchmark of 25 November 2026).

Each poll excluded the rows in flight with `id <> ALL(array)`. PostgreSQL hashes such an array only while it plans for
its very value; from the tenth poll on the plan was a general one, and each due row was compared with each of up to
10 000 leases, one by one: half a millisecond of CPU per order. A subquery is hashed in any plan.
"""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from world import World

from models import outbox
from runtime import database

LEASES = range(1, 5001)


def test_rows_in_flight_are_looked_up_and_not_compared_one_by_one(world: World) -> None:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    with database.session() as connection:
        event.listen(connection, "before_cursor_execute", note)
        outbox.due(connection, timedelta(seconds=1), LEASES, 100)
        event.remove(connection, "before_cursor_execute", note)
        [statement] = sent
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
        numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
        driver: Any = connection.connection.driver_connection
        plan = "\n".join(row[0] for row in driver.execute(f"EXPLAIN (GENERIC_PLAN) {numbered}"))
    assert "hashed SubPlan" in plan, plan
    assert "ix_outbox_available_at_id" in plan, plan


def test_what_is_in_flight_is_not_found_again(world: World) -> None:
    bowl, user = world.product(), world.user()
    for _ in range(3):
        world.place(user, {bowl.sku: 1})
    first, second, third = (row.id for row in world.due())
    with database.transaction() as connection:
        assert [row.id for row in outbox.due(connection, None, {first, third}, 100)] == [second]
        assert [row.id for row in outbox.due(connection, None, (), 100)] == [first, second, third]
