"""Hitches: what kept orders from being written at the first try, as the log is told of it.

Where one batch fails, a thousand may. The first hitch of a kind is told at once, and those that follow within a while
in one line at its end: what is written does not grow with how hard it storms, and nothing goes untold.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.acceptance import Request
from runtime import database, logs

log = logs.get(__name__)

WINDOW_SECONDS = 5.0
NAMED_MAX = 5


@dataclass
class _Series:
    """Hitches of one kind: how often, how many orders, and the first of their requests."""

    what: str
    cause: Mapping[str, str]
    times: int = 0
    orders: int = 0
    request_ids: list[str] = field(default_factory=list)

    def add(self, batch: Sequence[Request]) -> None:
        self.times += 1
        self.orders += len(batch)
        named = (request.request_id for request in batch[:NAMED_MAX] if request.request_id)
        self.request_ids = list(dict.fromkeys([*self.request_ids, *named]))[:NAMED_MAX]

    def tell(self) -> None:
        # These ids, and not that of the request which happened to begin the batch.
        with logs.bound(request_ids=self.request_ids):
            log.warning(self.what, times=self.times, orders=self.orders, **self.cause)


class Hitches:
    """Those of one process, in its event loop."""

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window_seconds = window_seconds
        self._open: dict[tuple[object, ...], _Series] = {}
        self._ending: asyncio.TimerHandle | None = None

    def note(self, what: str, batch: Sequence[Request], error: Exception | None = None) -> None:
        """These requests met with a hitch: tell it, or count it where the same was told a moment ago."""
        cause = database.cause(error) if error else {}
        kind = (what, *cause.items())
        if kind in self._open:
            self._open[kind].add(batch)
            return
        first = _Series(what, cause)
        first.add(batch)
        first.tell()
        self._open[kind] = _Series(what, cause)
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(self._window_seconds, self._end_window)

    def close(self) -> None:
        """Tell what was only counted yet."""
        if self._ending is not None:
            self._ending.cancel()
            self._end_window()

    def _end_window(self) -> None:
        """The while is over. The next one begins with the next hitch."""
        ended, self._open, self._ending = self._open, {}, None
        for series in ended.values():
            if series.times:
                series.tell()
