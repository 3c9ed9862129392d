"""Failed attempts: counted in the row, which waits longer after each, until it is buried."""

import re
import traceback
from collections.abc import Sequence
from uuid import UUID

from models import dead_letters, outbox
from models.lifecycle import Policy
from models.outbox import Failed
from runtime import database, logs, settings

log = logs.get(__name__)

ERROR_CHARACTERS_MAX = 1_000
TRACE_CHARACTERS_MAX = 20_000
NAMED_MAX = 5
CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f]")


def count(ids: Sequence[int], why: Exception | str) -> list[Failed]:
    """Count a failed attempt for each of these rows; returns those for which it was counted."""
    configured = settings.current()
    summary, trace = (why, None) if isinstance(why, str) else (summary_of(why), trace_of(why))
    with database.transaction() as connection:
        failed = outbox.postpone(connection, ids, summary)
    for row in failed:
        if row.attempts >= configured.max_attempts:
            # Each in a transaction of its own: together they would lock products out of their order.
            with database.transaction() as connection:
                dead_letters.bury(connection, [row.id], summary, trace, Policy.of(configured))
            tell_of_letter(row.kind, why, row.attempts, order=_named(row.order_id), **origins_of([row]))
    return failed


def tell_of_letter(kind: str, why: Exception | str, attempts: int, **facts: object) -> None:
    """Say in the log that there is a dead letter; of an error, what may be said of any."""
    cause = {"error": why} if isinstance(why, str) else database.cause(why)
    log.error("work became a dead letter", kind=kind, attempts=attempts, **cause, **facts)


def origins_of(rows: Sequence[Failed]) -> dict[str, list[str]]:
    """The first requests that asked for these rows, as a log line names them: none of others."""
    return {"request_ids": list(dict.fromkeys(row.request_id for row in rows if row.request_id))[:NAMED_MAX]}


def _named(order_id: UUID | None) -> str | None:
    return str(order_id) if order_id else None


def summary_of(error: Exception) -> str:
    """One line that says what went wrong."""
    return _plain(f"{type(error).__name__}: {error}".partition("\n")[0])[:ERROR_CHARACTERS_MAX]


def trace_of(error: Exception) -> str:
    """Where it went wrong, the end of it if it is long."""
    return _plain("".join(traceback.format_exception(error)))[-TRACE_CHARACTERS_MAX:]


def _plain(words: str) -> str:
    """An error may quote anything; PostgreSQL refuses NUL and lone surrogates, and a terminal obeys ESC."""
    return CONTROL.sub("�", words).encode(errors="replace").decode()
