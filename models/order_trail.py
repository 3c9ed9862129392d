"""What the database knows of one order's way: its events, and what is still to be done or was given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Text, text

from models import errors

# A request is looked for among the newest events only: no index serves it, because each costs every order a little.
EVENTS_SEARCHED = 200_000


@dataclass(frozen=True)
class Mark:
    """One thing that happened to the order, or waits to; `request_id` is that of whoever asked for it."""

    at: datetime
    what: str
    request_id: str | None


# Leans on ix_order_events_xid.
_OF_REQUEST = text(
    """
    SELECT order_id FROM (SELECT order_id, request_id, version FROM order_events ORDER BY xid DESC LIMIT :searched) AS e
    WHERE request_id = :request_id ORDER BY version, order_id LIMIT 1
    """
)

_MARKS = text(
    """
    SELECT at, concat_ws(' ', 'v' || version, coalesce(from_status || ' → ', '') || to_status, 'by', actor,
        '(' || reason || ')') AS what, request_id FROM order_events WHERE order_id = :order_id
    UNION ALL
    SELECT created_at, concat_ws(' ', 'asked for', to_status, '(' || reason || ')'), request_id
    FROM transition_requests WHERE order_id = :order_id
    UNION ALL
    SELECT available_at, concat_ws(' ', 'waits:', kind, 'after', attempts, 'failures', last_error), request_id
    FROM outbox WHERE order_id = :order_id
    UNION ALL
    SELECT last_at, concat_ws(' ', 'dead letter', id || ':', kind, 'after', attempts, 'failures:', error), request_id
    FROM dead_letters WHERE order_id = :order_id
    ORDER BY 1, 2
    """
).columns(what=Text, request_id=Text)


def order_of(connection: Connection, request_id: str) -> UUID:
    """The order that this request placed, or else moved.

    Raises:
        errors.NotFound: none of the newest events is of this request.
    """
    wanted = {"request_id": request_id, "searched": EVENTS_SEARCHED}
    found = connection.execute(_OF_REQUEST, wanted).scalar_one_or_none()
    if found is None:
        raise errors.NotFound
    order_id: UUID = found
    return order_id


def marks(connection: Connection, order_id: UUID) -> Sequence[Mark]:
    """All of them, in the sequence of time.

    Raises:
        errors.NotFound: there is no such order.
    """
    found = [Mark(*row) for row in connection.execute(_MARKS, {"order_id": order_id})]
    if not found:
        raise errors.NotFound
    return found
