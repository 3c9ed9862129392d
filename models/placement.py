"""The statement that places a batch of orders: all that acceptance writes, and all that it has to know for it.

One statement is one transaction: it confirms the prices, finds the keys that were used before, claims the others, and
writes orders, lines, first events, outbox rows and the answers' bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Boolean, Connection, Integer, LargeBinary, Text, Uuid, text

from models import idempotency
from models.documents import dumps
from models.idempotency import Stored
from models.lifecycle import Status
from models.price_list import Price

# Keys are claimed in sorted order, and then references, so that two statements cannot deadlock. What is not claimed
# comes back: usually nothing does. What is looked up stands under a LIMIT, so that it is looked up row by row: the plan
# is made once, perhaps on a day on which the tables are empty, and must not be one that reads them whole.
_PLACE = text(
    """
    WITH asked AS (
        SELECT * FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS a(
            user_id uuid, key text, fingerprint text, answer_status int, answer_body text,
            order_id uuid, number text, actor text, currency text, total_minor bigint, client_reference text,
            metadata jsonb, placed_at timestamptz, placed_on date, stays interval, request_id text,
            traceparent text, follow_up text, follow_up_in interval, lines jsonb)
    ), prices AS (
        SELECT NOT EXISTS (
            SELECT FROM jsonb_to_recordset(CAST(:prices AS jsonb)) AS remembered(
                sku text, name text, price_minor bigint, currency text)
            LEFT JOIN LATERAL (
                SELECT name, price_minor, currency FROM products
                WHERE products.sku = remembered.sku AND active LIMIT 1) AS present ON true
            WHERE (present.name, present.price_minor, present.currency)
                IS DISTINCT FROM (remembered.name, remembered.price_minor, remembered.currency)
        ) AS hold
    ), known AS (
        SELECT asked.user_id, asked.key, k.fingerprint, k.status, k.body, k.order_id FROM asked CROSS JOIN LATERAL (
            SELECT * FROM idempotency_keys AS k
            WHERE k.user_id = asked.user_id AND k.route = :route AND k.key = asked.key AND k.expires_at > now() LIMIT 1
        ) AS k
    ), claimed AS (
        INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, order_id, expires_at)
        SELECT user_id, :route, key, decode(asked.fingerprint, 'hex'), answer_status, convert_to(answer_body, 'UTF8'),
            asked.order_id, now() + :kept
        FROM asked, prices
        WHERE prices.hold AND NOT EXISTS (
            SELECT FROM known WHERE known.user_id = asked.user_id AND known.key = asked.key)
        ORDER BY user_id, key
        ON CONFLICT (user_id, route, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
            order_id = excluded.order_id, expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at <= now()
        RETURNING user_id, key
    ), placed AS (
        INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, client_reference, metadata,
            placed_at, placed_on, due_at, updated_at)
        SELECT order_id, number, user_id, :pending, 1, currency, total_minor, client_reference, metadata,
            placed_at, placed_on, now() + stays, placed_at
        FROM asked JOIN claimed USING (user_id, key)
        WHERE order_id IS NOT NULL ORDER BY user_id, client_reference
        RETURNING id
    ), lines AS (
        INSERT INTO order_items (order_id, line, sku, name, quantity, unit_price_minor, placed_at)
        SELECT placed.id, l.line, l.sku, l.name, l.quantity, l.unit_price_minor, asked.placed_at
        FROM placed JOIN asked ON asked.order_id = placed.id, jsonb_to_recordset(asked.lines) AS l(
            line int, sku text, name text, quantity int, unit_price_minor bigint)
    ), opened AS (
        INSERT INTO order_events (order_id, version, to_status, actor, request_id, amount_minor, currency, user_id,
            placed_on)
        SELECT id, 1, :pending, actor, request_id, total_minor, currency, user_id, placed_on
        FROM placed JOIN asked ON asked.order_id = placed.id
    ), queued AS (
        INSERT INTO outbox (kind, order_id, expected_version, request_id, traceparent, available_at)
        SELECT follow_up, id, 1, request_id, traceparent, now() + follow_up_in
        FROM placed JOIN asked ON asked.order_id = placed.id WHERE follow_up IS NOT NULL
    )
    SELECT user_id, key, prices.hold, known.fingerprint, known.status, known.body, known.order_id
    FROM prices, asked LEFT JOIN known USING (user_id, key) LEFT JOIN claimed USING (user_id, key)
    WHERE claimed.key IS NULL
    """
).columns(
    user_id=Uuid, key=Text, hold=Boolean, fingerprint=LargeBinary, status=Integer, body=LargeBinary, order_id=Uuid
)


@dataclass(frozen=True)
class Lost:
    """A key that was not claimed. Without a stored answer it was claimed just now, or prices do not hold: try again."""

    claim: tuple[UUID, str]
    prices_hold: bool
    stored: Stored | None


def place(
    connection: Connection, asked: Sequence[dict[str, object]], prices: Collection[Price], route: str
) -> list[Lost]:
    """Claim the keys of these documents and place their orders, unless a price is another one by now.

    Raises:
        IntegrityError: among others, an order with one of the references was placed meanwhile; nothing is written.
    """
    parameters = {
        "asked": dumps(asked),
        "prices": dumps(list(prices)),
        "route": route,
        "kept": idempotency.KEPT,
        "pending": Status.PENDING,
    }
    return [
        Lost((user_id, key), hold, None if answer[0] is None else Stored(*answer))
        for user_id, key, hold, *answer in connection.execute(_PLACE, parameters)
    ]
