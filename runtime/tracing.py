"""Traces, where they are asked for (TRACES_URL): what a request or a batch does becomes a span. Off, it costs a look.

What makes spans of it is `runtime/spans.py`, on OpenTelemetry's SDK, an extra that need not be installed. One trace
leads from a request, by the `traceparent` in its outbox rows, to the batches that do the work, and to their statements.
"""

import importlib
import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from runtime.settings import Settings, SettingsError

# A module that is there only with its extra cannot be imported at the top.
IMPLEMENTATION = "runtime.spans"
# W3C Trace Context, section 3.2: version 00, with ids that are not all zeros.
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
EXTRA = "TRACES_URL needs what order-pipeline[tracing] installs"


class RequestSpan(Protocol):
    """A request that is being answered; `traceparent` names it to whatever goes on with its work."""

    traceparent: str
    trace_id: str

    def end(self, route: str, status: int | None, request_id: str) -> None: ...


class Spans(Protocol):
    def request(self, method: str, traceparent: str | None) -> RequestSpan: ...

    def batch(
        self, name: str, parent: str | None, links: Collection[str], rows: int
    ) -> AbstractContextManager[None]: ...

    def flush(self) -> None: ...


_using: list[Spans] = []


def configure(process: str, settings: Settings) -> None:
    """Trace from now on, if the settings say where to.

    Raises:
        SettingsError: they do, and what is needed for it is not installed.
    """
    if settings.traces_url is None:
        return
    try:
        implementation = importlib.import_module(IMPLEMENTATION)
    except ImportError:
        raise SettingsError(EXTRA) from None
    use(implementation.exporting(f"orders-{process}", settings.traces_url))


def use(spans: Spans | None) -> None:
    _using[:] = [spans] if spans else []


def is_on() -> bool:
    return bool(_using)


def begin_request(method: str, traceparent: str | None) -> RequestSpan:
    """Only where it is on: a request, as a part of its client's trace if it came with one."""
    return _using[0].request(method, traceparent)


@contextmanager
def batch(name: str, traceparents: Collection[str | None], rows: int) -> Iterator[None]:
    """Around the work of a batch: its statements belong to it, and to no request that happened to begin it.

    It is part of the trace of the one request that all its rows come from; else it has links to each that is known.
    Rows that come from none are to be among the traceparents, as None or as an empty text.
    """
    if not _using:
        yield
        return
    named = dict.fromkeys(traceparents)
    known = [each for each in named if each and TRACEPARENT.fullmatch(each)]
    is_of_one = len(named) == len(known) == 1
    with _using[0].batch(name, known[0] if is_of_one else None, () if is_of_one else known, rows):
        yield


def flush() -> None:
    """Send what is finished, before a process ends; within FLUSH_SECONDS (`runtime/shutdown.py`)."""
    for spans in _using:
        spans.flush()
