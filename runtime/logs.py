"""One structured event per line, from our code and from every library, with the ids of what is being worked on.

JSON unless a person is looking at a terminal. Never a password, token, e-mail address or body (SECURITY S39): events
are named facts with ids, not dumps of objects.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.types import Processor

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


# Without local variables: they hold passwords, tokens and bodies.
_traces = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def get(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind(**ids: Any) -> Mapping[str, Any]:
    """Add ids (request, task) to every line this thread or asyncio task writes from now on."""
    return structlog.contextvars.bind_contextvars(**ids)


def clear() -> None:
    structlog.contextvars.clear_contextvars()


def configure(process: str, level: str, form: LogFormat | None) -> None:
    """Send everything, ours and the libraries', to standard error in one form."""
    form = form or (LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        lambda _logger, _method, event: {"process": process, **event},
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(form)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _renderers(form: LogFormat) -> list[Processor]:
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form is LogFormat.CONSOLE:
        return [drop, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [drop, _traces, structlog.processors.JSONRenderer()]
