"""Orders in bulk, with the statistics of a shop that has been open for a while: for plans, and for depth.

They lie two to a moment, one second apart. The first user has a third of them; nine in ten are delivered; half of them
have the line POPULAR, one in ten thousand RARE; a tenth have a reference of their own, and many users have one SHARED.
"""

import psycopg

from benchmarks import callers

STUCK_OF_OPEN = 10

_INSERT_ORDERS = """
    INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, client_reference, metadata,
        placed_at, placed_on, due_at, updated_at)
    SELECT id, to_hex(n), user_id, status, 1, 'EUR', 1000, client_reference, '{}', placed_at, CAST(placed_at AS date),
        CASE WHEN status IN ('delivered', 'cancelled', 'expired') THEN NULL
            WHEN n / 100 %% %(stuck_of_open)s = 0 THEN now() - interval '1 day' ELSE now() + interval '1 day' END,
        placed_at
    FROM (
        SELECT n, CAST('019a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid) AS id,
            CAST('00000000-0000-7000-8000-' || lpad(to_hex(CASE WHEN n %% 3 = 0 THEN 1 ELSE 1 + n %% %(users)s END),
                12, '0') AS uuid) AS user_id,
            (ARRAY['pending', 'confirmed', 'processing', 'shipped', 'shipped', 'cancelled', 'cancelled', 'expired',
                'failed'])[1 + abs(hashint4(n) %% 100)] AS rarer,
            CASE WHEN n < %(users)s AND n %% 3 > 0 THEN 'SHARED' WHEN n %% 10 = 0 THEN 'ref-' || n END
                AS client_reference,
            timestamptz '2026-01-01 00:00Z' + n / 2 * interval '1 second' AS placed_at
        FROM generate_series(1, %(orders)s) AS n
    ) AS numbered, LATERAL (SELECT coalesce(rarer, 'delivered') AS status) AS named
"""
_INSERT_LINES = """
    INSERT INTO order_items (order_id, line, sku, name, quantity, unit_price_minor, placed_at)
    SELECT id, line, sku, 'something', 1, 500, placed_at
    FROM (SELECT id, placed_at, ('x' || number)::bit(32)::int AS n FROM
            (SELECT id, placed_at, lpad(number, 8, '0') AS number FROM orders) AS spelled) AS numbered,
        LATERAL (VALUES (1, CASE WHEN n % 10000 = 0 THEN 'RARE' ELSE 'SKU-' || n % 50 END),
            (2, CASE WHEN n % 2 = 0 THEN 'POPULAR' ELSE 'SKU-' || (n + 1) % 50 END)) AS l(line, sku)
"""


def insert(connection: psycopg.Connection, orders: int, users: int) -> None:
    """`orders` orders of `users` users into empty tables, with fresh statistics."""
    callers.insert_users(connection, users)
    connection.execute(_INSERT_ORDERS, {"orders": orders, "users": users, "stuck_of_open": STUCK_OF_OPEN})
    connection.execute(_INSERT_LINES)
    connection.execute("ANALYZE users, orders, order_items")
