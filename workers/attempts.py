"""Failed attempts: counted in the row, which waits longer after each, until it is buried."""

import re
import traceback
from collections.abc import Sequence

from models import dead_letters, outbox
from models.lifecycle import Policy
from runtime import database, settings

ERROR_CHARACTERS_MAX = 1_000
TRACE_CHARACTERS_MAX = 20_000
CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f]")


def count(ids: Sequence[int], summary: str, trace: str | None = None) -> dict[int, int]:
    """Count a failed attempt for each of these rows; returns how often each has failed now."""
    configured = settings.current()
    with database.transaction() as connection:
        attempts = outbox.postpone(connection, ids, summary)
    for row, failed in attempts.items():
        if failed >= configured.max_attempts:
            # Each in a transaction of its own: together they would lock products out of their order.
            with database.transaction() as connection:
                dead_letters.bury(connection, [row], summary, trace, Policy.of(configured))
    return attempts


def summary_of(error: Exception) -> str:
    """One line that says what went wrong."""
    return _plain(f"{type(error).__name__}: {error}".partition("\n")[0])[:ERROR_CHARACTERS_MAX]


def trace_of(error: Exception) -> str:
    """Where it went wrong, the end of it if it is long."""
    return _plain("".join(traceback.format_exception(error)))[-TRACE_CHARACTERS_MAX:]


def _plain(words: str) -> str:
    """An error may quote anything; PostgreSQL refuses NUL and lone surrogates, and a terminal obeys ESC."""
    return CONTROL.sub("�", words).encode(errors="replace").decode()
