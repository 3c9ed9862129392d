"""What it costs to fold an event does not depend on how many were folded before. Counted, not timed."""

from explained import plans_of
from world import World

from models.analytics import rollups
from runtime import database

NEW_ORDERS = 120
# A past of delivered orders, many users on many days, folded long ago.
PAST = """
    WITH placed AS (
        INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata, placed_at, placed_on,
            updated_at)
        SELECT uuidv7(), n::text, (SELECT id FROM users LIMIT 1), 'delivered', 5, 'EUR', 1000, '{}',
            now() - n % 300 * interval '1 day', current_date - n % 300, now()
        FROM generate_series(1, :orders) AS n RETURNING *
    )
    INSERT INTO order_events (order_id, version, from_status, to_status, actor, amount_minor, currency, user_id,
        placed_on)
    SELECT id, moves.version, source, target, 'system', 1000, 'EUR',
        CAST(lpad(to_hex(hashtext(id::text) & 8191), 32, '0') AS uuid), placed_on
    FROM placed, (VALUES (1, NULL, 'pending'), (2, 'pending', 'confirmed'), (3, 'confirmed', 'processing'),
        (4, 'processing', 'shipped'), (5, 'shipped', 'delivered')) AS moves(version, source, target)
"""


def cost_of_new_events(world: World, past: int) -> tuple[int, int]:
    """With so many orders behind it: how many rows of events a fold reads, and how many buffers it touches."""
    world.product("BOWL")
    users = [world.user() for _ in range(30)]
    world.sql(PAST, orders=past)
    world.fold()
    world.sql("ANALYZE")
    for number in range(NEW_ORDERS // 30):
        world.accept(*[world.request(user, {"BOWL": 1}, key=f"{past}-{number}-{user.id}") for user in users])
    world.work_until_idle()
    world.await_the_end_of_all_writes()
    with database.connect() as connection:  # rolled back: the plans have folded once more
        (events, _), plans = plans_of(connection, rollups.fold)
    [fold] = [plan for plan in plans if "daily_fulfilment" in plan.statement]
    read = sum(scan.rows + scan.removed for scan in fold.scans if scan.table == "order_events")
    assert events == NEW_ORDERS * 5
    return read, fold.buffers


def test_an_event_costs_the_same_however_long_the_past_is(world: World) -> None:
    short = cost_of_new_events(world, 500)
    long = cost_of_new_events(world, 15_000)
    assert short[0] == long[0] == NEW_ORDERS * 5
    assert long[1] <= 1.3 * short[1], (short, long)
