"""A fold read every order there was, to know when the delivered ones among its events had been placed (25 November).

PostgreSQL joined the events with `orders` as a whole wherever it thought that cheaper than looking each of them up: at
a million orders and with many events, a fold took twice as long as at ten thousand. At ten million it did not, and that
was what had been measured. A run of the benchmark with one million showed it.
"""

from explained import plans_of
from world import World

from models.analytics import rollups
from models.identity.users import User
from runtime import database

ORDERS = 600


def _place(world: World, user: User, name: str) -> None:
    world.accept(*[world.request(user, {"BOWL": 1}, key=f"{name}-{number}") for number in range(ORDERS // 2)])
    world.work_until_idle()


def test_a_fold_looks_at_the_orders_of_its_events_and_at_no_others(world: World) -> None:
    world.product("BOWL", on_hand=ORDERS)
    user = world.user()
    _place(world, user, "folded before")
    world.fold()
    _place(world, user, "new")
    world.sql("ANALYZE")
    world.await_the_end_of_all_writes()
    with database.connect() as connection:  # rolled back
        _, plans = plans_of(connection, rollups.fold)
    [fold] = [plan for plan in plans if "daily_fulfilment" in plan.statement]
    delivered = world.sql("SELECT count(*) FROM order_events WHERE to_status = 'delivered'")[0][0] // 2
    assert sum(scan.rows for scan in fold.scans if scan.table == "orders") == delivered == ORDERS // 2
