"""How much waits in the outbox, counted by the relay between its turns, and seldom enough not to hold it up.

Counting reads past every dead row that no vacuum could remove yet, as the relay's full scan does, and keeps the same
measure: the longer a count took, the longer it is good for.
"""

import time
from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from models import outbox
from runtime import clock

COUNT_SHARE = 0.02


class BacklogCount:
    """The last count, as facts for people; a new one takes at most `COUNT_SHARE` of the time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next_at = float("-inf")
        self._facts: Mapping[str, object] = {}

    def facts(self, connection: Connection) -> Mapping[str, object]:
        """How many rows wait, for how long the oldest that is due has waited, and when that was so."""
        began = self._monotonic()
        if began >= self._next_at:
            self._facts = _counted(connection)
            done = self._monotonic()
            self._next_at = done + (done - began) / COUNT_SHARE
        return self._facts


def _counted(connection: Connection) -> Mapping[str, object]:
    waiting = outbox.backlog(connection)
    return {
        "depth": sum(each.depth for each in waiting),
        "lag_seconds": round(max((each.lag_seconds for each in waiting), default=0.0), 3),
        "counted_at": clock.now().isoformat(),
    }
