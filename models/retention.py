"""What is kept for a while only, and for how long. Orders, their events and the aggregates are kept for ever.

A row is found, old as it is, through an index, and deleted by its place in the table: PostgreSQL has no other plan to
choose, however wrong its statistics are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Interval, TextClause, bindparam, text

ROWS_PER_BITE = 10_000


@dataclass(frozen=True)
class Rule:
    """How long rows of a table are kept, and the statement that deletes up to `limit` older ones."""

    kept: timedelta
    forget: TextClause


RULES: Mapping[str, Rule] = {
    # Leans on ix_idempotency_keys_expires_at. A key that is being claimed anew is left alone.
    "idempotency_keys": Rule(
        timedelta(0),
        text(
            """
            DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM idempotency_keys WHERE expires_at <= now() - :kept
                ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED))
            """
        ),
    ),
    # Leans on the primary key: ids are in the order of time, so that no index has to be kept for this.
    "transition_requests": Rule(
        timedelta(days=30),
        text(
            """
            DELETE FROM transition_requests WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM transition_requests
                WHERE id < (SELECT uuidv7(-:kept)) AND resolved_at <= now() - :kept
                ORDER BY id LIMIT :limit))
            """
        ),
    ),
    # Leans on the primary key, whose numbers are in the order of time; the table is small, or something is very wrong.
    "dead_letters": Rule(
        timedelta(days=90),
        text(
            """
            DELETE FROM dead_letters WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM dead_letters WHERE resolved_at <= now() - :kept ORDER BY id LIMIT :limit))
            """
        ),
    ),
    # Leans on ix_refresh_tokens_expires_at. Who shows an expired token is told the same as who invents one.
    "refresh_tokens": Rule(
        timedelta(days=30),
        text(
            """
            DELETE FROM refresh_tokens WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM refresh_tokens WHERE expires_at <= now() - :kept
                ORDER BY expires_at LIMIT :limit))
            """
        ),
    ),
    # Leans on ix_sessions_ends_at. No token of a session lives longer than the session.
    "sessions": Rule(
        timedelta(days=30),
        text(
            """
            DELETE FROM sessions WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM sessions WHERE ends_at <= now() - :kept ORDER BY ends_at LIMIT :limit))
            """
        ),
    ),
    # Leans on ix_revocations_at. What was revoked a day ago has expired since.
    "revocations": Rule(
        timedelta(days=1),
        text(
            """
            DELETE FROM revocations WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM revocations WHERE at <= now() - :kept ORDER BY at LIMIT :limit))
            """
        ),
    ),
}


def forget(connection: Connection, table: str, limit: int = ROWS_PER_BITE) -> int:
    """Delete up to `limit` rows of `table` that have been kept for long enough; returns how many."""
    rule = RULES[table]
    statement = rule.forget.bindparams(bindparam("kept", type_=Interval))
    return connection.execute(statement, {"kept": rule.kept, "limit": limit}).rowcount
