"""The edge of the workers: one message, one transaction, and what happens when it fails.

A batch that fails is halved until the poisonous row stands alone; its neighbours go through. The poisonous row waits
longer after each attempt and ends in the dead letters.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

from celery import Task
from sqlalchemy import Connection

from models import outbox, schedule
from models.outbox import Work
from runtime import database, logs, tracing
from workers import attempts, messages
from workers.app import app

log = logs.get(__name__)

Verb = Callable[[Connection, Sequence[Work]], object]


def task(kind: str) -> Callable[[Verb], Task[..., None]]:
    """Make a verb the Celery task of this outbox kind. The verb gets the rows that are its to do, and never commits."""

    def register(verb: Verb) -> Task[..., None]:
        @app.task(name=kind, bind=True)
        @wraps(verb)
        def deliver(self: Task[..., None], /, *arguments: object, **named: object) -> None:
            outbox_ids = messages.row_ids(list(arguments), named)
            if outbox_ids is None:
                messages.refuse(kind, messages.NOT_IDS)
            else:
                _deliver(kind, verb, outbox_ids, _origin(self))

        return deliver

    return register


def _origin(called: Task[..., None]) -> Mapping[str, Sequence[str]]:
    """The requests and traces that the message names: whoever looks for one of them finds the batch."""
    headers = called.request.headers or {}
    return {name: headers[name] for name in ("request_ids", "traceparents") if _are_texts(headers.get(name))}


def _are_texts(named: object) -> bool:
    """Whoever can reach the broker can put anything there."""
    return bool(named) and isinstance(named, list | tuple) and all(isinstance(each, str) for each in named)


def _deliver(kind: str, verb: Verb, ids: Sequence[int], origin: Mapping[str, Sequence[str]]) -> None:
    began = time.perf_counter()
    with logs.bound(**origin):
        with tracing.batch(kind, origin.get("traceparents", ()), len(ids)):
            done = _attempt(kind, verb, ids)
        ms = round((time.perf_counter() - began) * 1000, 1)
        log.info("batch done", kind=kind, delivered=len(ids), done=done, ms=ms)


def _attempt(kind: str, verb: Verb, ids: Sequence[int]) -> int:
    """How many of the rows were ours to do, and are done."""
    try:
        return _do(kind, verb, ids)
    except Exception as error:
        return _after_failure(kind, verb, ids, error)


def _do(kind: str, verb: Verb, ids: Sequence[int]) -> int:
    with database.transaction() as connection:
        due = outbox.take(connection, ids, kind)
        if due:
            verb(connection, due)
            for work in due:
                if work.order_id is None:
                    schedule.note_success(connection, work.kind)
        return len(due)


def _after_failure(kind: str, verb: Verb, ids: Sequence[int], error: Exception) -> int:
    if database.is_unavailable(error):
        # Nothing is wrong with the work. Its rows are still there, and their leases bring them back.
        what = "the database is unavailable; the batch will come again"
        log.warning(what, kind=kind, rows=len(ids), **database.cause_in_words(error))
    elif len(ids) > 1:
        log.warning("batch failed, trying its halves", kind=kind, rows=len(ids), **database.cause(error))
        middle = len(ids) // 2
        return _attempt(kind, verb, ids[:middle]) + _attempt(kind, verb, ids[middle:])
    else:
        _count_attempt(kind, ids, error)
    return 0


def _count_attempt(kind: str, ids: Sequence[int], error: Exception) -> None:
    failed = attempts.count(ids, error)
    # Of the requests that the message names, only that of the row which failed.
    origins = attempts.origins_of(failed)
    log.error("work failed", kind=kind, attempts={row.id: row.attempts for row in failed}, **origins, exc_info=error)
