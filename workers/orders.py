"""What happens to orders: each task moves a batch of them one step along the lifecycle."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from models import expiry, outbox, transition_requests
from models.advance import Step, advance
from models.identifiers import order_number
from models.lifecycle import Policy, Status
from models.outbox import Work
from runtime import settings
from workers.batches import task


@task("orders.confirm")
def confirm(connection: Connection, due: Sequence[Work]) -> None:
    """pending → confirmed, or cancelled where stock is short."""
    _move(connection, due, Status.PENDING, Status.CONFIRMED)


@task("orders.process")
def process(connection: Connection, due: Sequence[Work]) -> None:
    """confirmed → processing."""
    _move(connection, due, Status.CONFIRMED, Status.PROCESSING)


@task("orders.ship")
def ship(connection: Connection, due: Sequence[Work]) -> None:
    """processing → shipped, where the autopilot plays the warehouse."""
    _move(connection, due, Status.PROCESSING, Status.SHIPPED)


@task("orders.deliver")
def deliver(connection: Connection, due: Sequence[Work]) -> None:
    """shipped → delivered, where the autopilot plays the carrier."""
    _move(connection, due, Status.SHIPPED, Status.DELIVERED)


@task("orders.transition")
def transition(connection: Connection, due: Sequence[Work]) -> None:
    """Apply or refuse what somebody asked for."""
    order_ids = sorted({work.order_id for work in due if work.order_id is not None})
    transition_requests.settle(connection, order_ids, _policy())


@task("orders.expire")
def expire(connection: Connection, due: Sequence[Work]) -> None:
    """pending → expired, for orders nobody confirmed in time."""
    if expiry.expire(connection, _policy()) == expiry.ORDERS_PER_SWEEP:
        outbox.put(connection, due[0].kind)


def _policy() -> Policy:
    return Policy.of(settings.current())


def _move(connection: Connection, due: Sequence[Work], source: Status, target: Status) -> None:
    steps = [
        Step(
            order_id=work.order_id,
            version=work.expected_version,
            source=source,
            target=target,
            tracking_number=_tracking_number(work.order_id) if target is Status.SHIPPED else None,
            request_id=work.request_id,
            traceparent=work.traceparent,
        )
        for work in due
        if work.order_id is not None and work.expected_version is not None
    ]
    advance(connection, steps, _policy())


def _tracking_number(order_id: UUID) -> str:
    return f"AUTO-{order_number(order_id)}"
