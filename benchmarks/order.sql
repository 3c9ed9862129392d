-- What accepting one order of three lines writes, as one statement: the same rows of the same widths in the same tables.
-- Nothing is looked up: neither prices nor the claims of others, which `orders` has to do.
\set number random(1, :users)
WITH claimed AS (
    INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, order_id, expires_at)
    VALUES (CAST('00000000-0000-7000-8000-' || lpad(to_hex(CAST(:number AS bigint)), 12, '0') AS uuid),
        'POST /v1/orders', CAST(gen_random_uuid() AS text), CAST(repeat('x', 32) AS bytea), 201,
        CAST(repeat('x', :body_bytes) AS bytea), uuidv7(), now() + interval '72 hours')
    RETURNING user_id, order_id
), placed AS (
    INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, metadata,
        placed_at, placed_on, due_at, updated_at)
    SELECT order_id, 'XXXXX-XXXXX', user_id, 'pending', 1, 'EUR', 13880, '{}',
        now(), current_date, now() + interval '1 hour', now()
    FROM claimed
    RETURNING id, user_id, total_minor, currency, placed_on, placed_at
), lines AS (
    INSERT INTO order_items (order_id, line, sku, name, quantity, unit_price_minor, placed_at)
    SELECT id, line, sku, name, quantity, unit_price_minor, placed_at
    FROM placed, (VALUES (1, 'BOWL-OAK', 'Oak bowl', 1, 4200), (2, 'MUG-STONEWARE', 'Stoneware mug', 2, 1490),
        (3, 'STOOL-ASH', 'Ash stool', 3, 2233)) AS l(line, sku, name, quantity, unit_price_minor)
), opened AS (
    INSERT INTO order_events (order_id, version, to_status, actor, request_id, amount_minor, currency, user_id, placed_on)
    SELECT id, 1, 'pending', 'owner', 'req_xxxxxxxxxxxxxxxxxxxx', total_minor, currency, user_id, placed_on FROM placed
)
INSERT INTO outbox (kind, order_id, expected_version, request_id)
SELECT 'orders.confirm', id, 1, 'req_xxxxxxxxxxxxxxxxxxxx' FROM placed;
