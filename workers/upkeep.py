"""Housekeeping on the timetable, in bounded bites: where a sweep was full, it asks for the next one at once.

No two workers do the same sweep at once: its outbox row is unique, and a worker holds it until it commits.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from models import audit_chain, outbox, redispatch, retention, stuck
from models.lifecycle import Policy
from models.outbox import Work
from runtime import logs, settings
from workers.batches import task

log = logs.get(__name__)

NAMED_MAX = 5


@task("upkeep.redispatch")
def redispatch_lost_work(connection: Connection, due: Sequence[Work]) -> None:
    """Ask again for work that was lost."""
    found = redispatch.redispatch(connection, Policy.of(settings.current()))
    if found.most:
        log.warning(
            "lost work is asked for again",
            moves=len(found.moves),
            transitions=len(found.transitions),
            recalled=found.recalled,
            orders=[str(order_id) for order_id in (*found.moves, *found.transitions)[:NAMED_MAX]],
        )
    _again_if(found.most == redispatch.ROWS_PER_SWEEP, connection, due)


@task("upkeep.report-stuck")
def report_stuck(connection: Connection, due: Sequence[Work]) -> None:
    """Say which orders have overstayed their status; whoever watches the logs raises the alarm."""
    for found in stuck.stuck(connection):
        log.warning(
            "stuck orders",
            status=found.status,
            orders=found.orders,
            since=found.since.isoformat(),
            oldest=[str(order_id) for order_id in found.oldest],
        )


@task("upkeep.prune-idempotency-keys")
def prune_idempotency_keys(connection: Connection, due: Sequence[Work]) -> None:
    """Forget idempotency keys that have expired."""
    _forget("idempotency_keys", connection, due)


@task("upkeep.prune-transition-requests")
def prune_transition_requests(connection: Connection, due: Sequence[Work]) -> None:
    """Forget transition requests settled long ago."""
    _forget("transition_requests", connection, due)


@task("upkeep.prune-dead-letters")
def prune_dead_letters(connection: Connection, due: Sequence[Work]) -> None:
    """Forget dead letters resolved long ago."""
    _forget("dead_letters", connection, due)


@task("upkeep.prune-refresh-tokens")
def prune_refresh_tokens(connection: Connection, due: Sequence[Work]) -> None:
    """Forget refresh tokens that expired long ago."""
    _forget("refresh_tokens", connection, due)


@task("upkeep.seal-audit-log")
def seal_audit_log(connection: Connection, due: Sequence[Work]) -> None:
    """Add new security events to the chain. The head goes to the logs: kept elsewhere, it shows a chain cut short."""
    sealed, head = audit_chain.seal(connection, settings.current())
    if sealed:
        log.info("audit log sealed", events=sealed, head=str(head))
    _again_if(sealed == audit_chain.EVENTS_PER_BITE, connection, due)


@task("upkeep.prune-sessions")
def prune_sessions(connection: Connection, due: Sequence[Work]) -> None:
    """Forget sessions that were over long ago."""
    _forget("sessions", connection, due)


@task("upkeep.prune-revocations")
def prune_revocations(connection: Connection, due: Sequence[Work]) -> None:
    """Forget revocations of credentials that have expired since."""
    _forget("revocations", connection, due)


def _forget(table: str, connection: Connection, due: Sequence[Work]) -> None:
    _again_if(retention.forget(connection, table) == retention.ROWS_PER_BITE, connection, due)


def _again_if(more: bool, connection: Connection, due: Sequence[Work]) -> None:
    if more:
        outbox.put(connection, due[0].kind)
