"""How refusals get into the audit log: one by one up to a rate, and beyond it as counts.

Anybody can be refused without end, for example at login. What is written then must not grow with how hard somebody
tries: a process writes at most so many rows a minute, and tells how many more there were.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from api.database import Database
from api.patience import finish
from models import audit_log
from models.audit_log import NOBODY, EventName, SecurityEvent
from runtime import logs, shutdown

log = logs.get(__name__)

WINDOW_SECONDS = 60.0
# For each kind of event, and apart for known and unknown accounts: a storm of made-up addresses does not hide the
# guesses at a real one.
ROWS_PER_WINDOW = 60

Series = tuple[EventName, bool]


@dataclass
class _Window:
    """What was noted in one minute: rows by series, and what came after there were enough of them."""

    rows: Counter[Series] = field(default_factory=Counter)
    excess: Counter[Series] = field(default_factory=Counter)


class Refusals:
    """Writes refusals down. Nothing of it is in the transaction of a request, which has been refused.

    Nor does the answer wait for it: whether a refusal was written or only counted depends on whether there is such an
    account, and must not be told by the clock (S7).
    """

    def __init__(self, database: Database, window_seconds: float = WINDOW_SECONDS) -> None:
        self._database = database
        self._window_seconds = window_seconds
        self._window = _Window()
        self._ending: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()
        # Refusals leave the connections to those who are not refused, all but one.
        self._turn = asyncio.Lock()

    def add(self, event: SecurityEvent) -> None:
        """Record a refusal; or count it, where there were many of its kind lately."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(self._window_seconds, self._end_window)
        series = (event.name, event.user_id is not None)
        if self._window.rows[series] >= ROWS_PER_WINDOW:
            self._window.excess[series] += 1
        else:
            self._window.rows[series] += 1
            self._begin_writing(event)

    async def close(self, seconds: float = shutdown.WRITE_SECONDS) -> None:
        """Write what is only counted yet, and wait for what is being written, at most so long."""
        if self._ending is not None:
            self._ending.cancel()
            self._end_window()
        if lost := await finish(self._writing, seconds):
            log.warning("refusals are not in the audit log; each has a line here", lost=lost)

    def _end_window(self) -> None:
        """The minute is over. The next one begins with the next refusal."""
        ended, self._window, self._ending = self._window, _Window(), None
        for (name, is_known), times in ended.excess.items():
            facts = {"more": times, "accounts": "known" if is_known else "unknown"}
            self._begin_writing(SecurityEvent(name, NOBODY, facts=facts))

    def _begin_writing(self, event: SecurityEvent) -> None:
        task = asyncio.get_running_loop().create_task(self._write(event))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, event: SecurityEvent) -> None:
        try:
            async with self._turn:
                await self._database.run(audit_log.record, event)
        except (Exception, asyncio.CancelledError) as error:  # it is in the log then, and not in the audit log
            log.warning(
                "a refusal is not in the audit log",
                refused=event.name,
                account=str(event.user_id),
                facts=dict(event.facts),
                error=type(error).__name__,
            )
            if isinstance(error, asyncio.CancelledError):
                raise
