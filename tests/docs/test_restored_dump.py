"""The statements of docs/operations.md for a restored dump: its transaction ids are those of another cluster."""

import re
from pathlib import Path

import pytest
from world import World

from models import analytics, user_revenue
from models.windows import Window
from runtime import database
from runtime.database import Role

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
EVER = Window(None, None)
# Ids of the old cluster may lie before or after those of the new one.
OLD_IDS = {"an older cluster": "9000000000000", "a younger cluster": "3"}


def repair() -> list[str]:
    [block] = re.findall(r"```sql\nBEGIN;\n(.*?)COMMIT;\n```", OPERATIONS.read_text(), re.DOTALL)
    return [statement for statement in block.split(";\n") if statement]


def counted(exact: bool) -> tuple[dict[str, int], int, int]:
    with database.transaction(Role.API) as connection:
        _, counts = analytics.status_counts(connection, EVER, exact)
        users = user_revenue.ranking(connection, EVER, None, None, 100).users
    return {status: count for status, count in counts.items() if count}, len(users), sum(u.revenue_minor for u in users)


@pytest.mark.parametrize("old_id", OLD_IDS.values(), ids=list(OLD_IDS))
def test_the_aggregates_are_exact_again_and_stay_so(world: World, old_id: str) -> None:
    bowl = world.product(price_minor=1000)
    user = world.user()
    world.place(user, {bowl.sku: 2})
    world.work_until_idle()
    world.fold()
    world.place(user, {bowl.sku: 1})
    world.sql("UPDATE order_events SET xid = CAST(:id AS xid8)", id=old_id)
    world.sql("UPDATE rollup_state SET upto = CAST(:id AS xid8), horizon = CAST(:id AS xid8)", id=old_id)

    with database.transaction(Role.OWNER) as connection:
        for statement in repair():
            connection.exec_driver_sql(statement)

    restored = ({"pending": 1, "delivered": 1}, 1, 2000)
    assert counted(exact=False) == counted(exact=True) == restored
    world.fold()
    assert counted(exact=False) == counted(exact=True) == restored
    world.work_until_idle()
    world.fold()
    assert counted(exact=False) == counted(exact=True) == ({"delivered": 2}, 1, 3000)
