"""The order that the examples tell of: Clara buys two bowls and a kettle, and the parcel arrives.

It is built from the records and views that real answers are built from, so it cannot drift from them.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from api.views.orders import OrderView
from api.views.transitions import TransitionView
from models import errors
from models.dead_letters import Letter, Origin, Resolution
from models.errors import Flaw, OrderPipelineError
from models.identifiers import order_number
from models.identity.api_keys import ApiKey
from models.identity.permissions import Permission
from models.lifecycle import Actor, Status, allowed_from
from models.orders import Event, Line, Order
from models.transition_requests import RequestState, TransitionRequest

USER_ID = UUID("019cadc8-9a8f-7871-9e7f-90b2d4f6a8c0")
STAFF_ID = UUID("019cadc1-02b7-7c55-b1f0-3d9a6e27c014")
ORDER_ID = UUID("019cadd4-c134-74fe-9b1e-7a2c48e06f31")
TRANSITION_ID = UUID("019cb424-526e-7cbe-8d4c-6e0a97f35c28")
API_KEY_ID = UUID("019cadc9-5c20-7d4e-a1b7-64f0c2e9d835")
NEXT_API_KEY_ID = UUID("019cbd40-7e51-72aa-8c06-b95d1f3a7e42")
SERVICE_ID = UUID("019cadc5-11f4-7be8-9d35-2a7c80e6f491")
REQUEST_ID = "demo-order-0001"
CURSOR = "eyJhIjpbIjIwMjYtMDMtMDIiXX0.5yZ0m3Qk"
REFRESH_TOKEN = "b7Qm2Vt0cX9dLr4sKz8wYp1nHf6jGa3e"
# Its check is wrong, on purpose: scanners for secrets that were published leave it alone.
API_KEY_SECRET = "op_7Gk2mQx9Ra_v4TnB8sLw1YpZc6HdJf3KeXu0MiSgOqPaEtRbVyCkW5000000"
TRACKING_NUMBER = "JD014600003RS"
REFERENCE = "web-2026-0042"


def at(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


LINES = (Line(1, "BOWL-OAK", "Oak bowl", 2, 4200), Line(2, "KETTLE-STEEL", "Steel kettle", 1, 4990))
SHIPPED_AT = at("2026-03-03T14:40:05.391")
# The order's whole way: (status, who, when).
JOURNEY: Sequence[tuple[Status, Actor, datetime]] = (
    (Status.PENDING, Actor.OWNER, at("2026-03-02T09:15:27.412")),
    (Status.CONFIRMED, Actor.SYSTEM, at("2026-03-02T09:15:27.604")),
    (Status.PROCESSING, Actor.SYSTEM, at("2026-03-02T09:15:27.655")),
    (Status.SHIPPED, Actor.STAFF, SHIPPED_AT),
    (Status.DELIVERED, Actor.SYSTEM, at("2026-03-05T10:02:44.018")),
)
EVENTS = [
    Event(ORDER_ID, version, before, status, actor, None, None if actor is Actor.SYSTEM else REQUEST_ID, moment)
    for version, (before, (status, actor, moment)) in enumerate(
        zip([None, *(step[0] for step in JOURNEY)], JOURNEY, strict=False), start=1
    )
]

LETTER = Letter(
    id=7,
    kind="orders.process",
    order_id=ORDER_ID,
    expected_version=2,
    request_id=REQUEST_ID,
    error="DataError: (psycopg.errors.NumericValueOutOfRange) integer out of range",
    traceback='Traceback (most recent call last):\n  File "workers/batches.py", line 48, in _do\n  …\n',
    attempts=8,
    first_at=JOURNEY[1][2],
    last_at=at("2026-03-02T09:17:35.120"),
    resolved_at=None,
    resolved_by=None,
    resolved_how=None,
    resolved_because=None,
    origin=Origin.OUTBOX,
)


def resolved(how: Resolution, because: str) -> Letter:
    """The letter, after somebody has seen to it."""
    moment = at("2026-03-02T10:02:11.344")
    return replace(LETTER, resolved_at=moment, resolved_by=str(STAFF_ID), resolved_how=how, resolved_because=because)


def order(version: int) -> OrderView:
    """The order, as it is answered, when it had come this far."""
    return OrderView.of(record(version))


def record(version: int) -> Order:
    """The order when it had come this far."""
    status, _, moment = JOURNEY[version - 1]
    placed_at = JOURNEY[0][2]
    return Order(
        id=ORDER_ID,
        number=order_number(ORDER_ID),
        user_id=USER_ID,
        status=status,
        version=version,
        currency="EUR",
        total_minor=sum(line.amount_minor for line in LINES),
        client_reference=REFERENCE,
        metadata={"gift": "yes"},
        tracking_number=TRACKING_NUMBER if moment >= SHIPPED_AT else None,
        placed_at=placed_at,
        placed_on=placed_at.date(),
        due_at=None,
        updated_at=moment,
        lines=LINES,
    )


def transition(state: RequestState) -> TransitionView:
    """The wish that the order be shipped, and what became of it."""
    return TransitionView.of(
        TransitionRequest(
            id=TRANSITION_ID,
            order_id=ORDER_ID,
            to_status=Status.SHIPPED,
            reason=None,
            tracking_number=TRACKING_NUMBER,
            actor=Actor.STAFF,
            requested_by=USER_ID,
            expected_version=3,
            state=state,
            refusal=None,
            request_id=REQUEST_ID,
            created_at=at("2026-03-03T14:40:05.230"),
            resolved_at=SHIPPED_AT if state is RequestState.APPLIED else None,
        )
    )


def api_key(key_id: UUID = API_KEY_ID) -> ApiKey:
    """What Clara's stock-taking machine shows."""
    return ApiKey(
        id=key_id,
        user_id=USER_ID,
        name="stock-taking",
        prefix=API_KEY_SECRET.rpartition("_")[0],
        permissions=frozenset({Permission.SEE_PRODUCTS, Permission.PLACE_ORDERS, Permission.SEE_OWN_ORDERS}),
        created_at=at("2026-03-02T09:20:00"),
        expires_at=at("2026-05-31T09:20:00"),
        revoked_at=None,
        rotated_to=None,
        last_used_at=at("2026-03-05T10:02:51") if key_id == API_KEY_ID else None,
    )


def refusal(kind: type[OrderPipelineError]) -> OrderPipelineError:
    """A refusal of this kind, as it might have happened on the way."""
    if kind is errors.DuplicateReference:
        return errors.DuplicateReference(ORDER_ID)
    if kind is errors.InvalidTransition:
        return errors.InvalidTransition(Status.SHIPPED, allowed_from(Status.SHIPPED, Actor.STAFF))
    if kind is errors.KeyRotated:
        return errors.KeyRotated(NEXT_API_KEY_ID)
    if kind is errors.LetterResolved:
        return errors.LetterResolved("discarded")
    if kind is errors.InvalidRequest:
        return kind(flaws=[Flaw("limit", "less_than_equal", "Input should be less than or equal to 100")])
    return kind()
