"""One structured event per line, from our code and from every library, with the ids of what is being worked on.

JSON unless a person is looking at a terminal. Never a password, token, e-mail address or body (SECURITY S39): events
are named facts with ids, not dumps of objects. Our own events go straight to standard error; the libraries' come
through the standard library's logging and end in the same form.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import structlog
from pydantic_core import to_json
from structlog.types import EventDict, Processor, WrappedLogger

from runtime.settings import LogFormat

# Libraries that say at INFO what the pipeline already says once per batch.
QUIET = (
    "alembic.runtime.migration",
    "asyncio",
    "celery.app.trace",
    "celery.worker.strategy",
    "kombu",
    "tornado.access",
)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(source=name)
    return logger


# One variable for all of them: structlog's own has one for each id and looks at every variable there is for each line.
_ids: ContextVar[Mapping[str, Any]] = ContextVar("ids_of_log_lines", default=MappingProxyType({}))


def bind(**ids: Any) -> None:
    """Add ids (request, task) to every line this thread or asyncio task writes from now on."""
    _ids.set({**_ids.get(), **ids})


def clear() -> None:
    _ids.set({})


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """These ids, and no others, on every line that is written here while the block lasts."""
    before = _ids.set(ids)
    try:
        yield
    finally:
        _ids.reset(before)


def _add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for name, value in _ids.get().items():
        event.setdefault(name, value)
    return event


def configure(process: str, level: str, form: LogFormat | None) -> None:
    """Send everything, ours and the libraries', to standard error in one form."""
    form = form or (LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON)
    shared = [_add_ids, structlog.processors.add_log_level, _stamp(process)]
    is_json = form is LogFormat.JSON
    structlog.configure(
        # A line a request is written on the hot path: as bytes, which need no second encoding.
        processors=[*shared, _traces, _as_bytes] if is_json else [*shared, *_renderers(form)],
        logger_factory=_bytes_to_stderr() if is_json else structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(level, [*shared, _name_source], form)


def _configure_libraries(level: str, shared: list[Processor], form: LogFormat) -> None:
    handler = logging.StreamHandler(sys.stderr)
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[drop, *_renderers(form)])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _bytes_to_stderr() -> structlog.BytesLoggerFactory:
    return structlog.BytesLoggerFactory(sys.stderr.buffer)


def _as_bytes(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        return to_json(event, fallback=repr)
    except ValueError:  # It has half a character in it: this form escapes whatever it is, and takes longer.
        return json.dumps(event, default=repr).encode()


def _stamp(process: str) -> Processor:
    timestamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def stamp(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return timestamp(logger, method, event)

    return stamp


def _name_source(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["source"] = event["_record"].name  # structlog hands over no logger here
    return event


def _renderers(form: LogFormat) -> list[Processor]:
    if form is LogFormat.CONSOLE:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [_traces, structlog.processors.JSONRenderer()]


# Without local variables: they hold passwords, tokens and bodies.
_traces = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
