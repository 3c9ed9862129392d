"""The edge of the workers: one message, one transaction, and what happens when it fails.

A batch that fails is halved until the poisonous row stands alone; its neighbours go through. The poisonous row waits
longer after each attempt and ends in the dead letters.
"""

import time
from collections.abc import Callable, Sequence
from functools import wraps

from celery import Task
from sqlalchemy import Connection

from models import outbox, schedule
from models.outbox import Work
from runtime import database, logs
from workers import attempts, messages
from workers.app import app

log = logs.get(__name__)

Verb = Callable[[Connection, Sequence[Work]], object]


def task(kind: str) -> Callable[[Verb], Task[..., None]]:
    """Make a verb the Celery task of this outbox kind. The verb gets the rows that are its to do, and never commits."""

    def register(verb: Verb) -> Task[..., None]:
        @app.task(name=kind)
        @wraps(verb)
        def deliver(*arguments: object, **named: object) -> None:
            outbox_ids = messages.row_ids(list(arguments), named)
            if outbox_ids is None:
                messages.refuse(kind, messages.NOT_IDS)
            else:
                _attempt(kind, verb, outbox_ids)

        return deliver

    return register


def _attempt(kind: str, verb: Verb, ids: Sequence[int]) -> None:
    began = time.perf_counter()
    try:
        done = _do(kind, verb, ids)
    except Exception as error:
        _after_failure(kind, verb, ids, error)
    else:
        log.info("batch done", kind=kind, delivered=len(ids), done=done, ms=_milliseconds_since(began))


def _do(kind: str, verb: Verb, ids: Sequence[int]) -> int:
    with database.transaction() as connection:
        due = outbox.take(connection, ids, kind)
        if due:
            verb(connection, due)
            for work in due:
                if work.order_id is None:
                    schedule.note_success(connection, work.kind)
        return len(due)


def _after_failure(kind: str, verb: Verb, ids: Sequence[int], error: Exception) -> None:
    if database.is_unavailable(error):
        # Nothing is wrong with the work. Its rows are still there, and their leases bring them back.
        log.warning("the database is unavailable; the batch will come again", kind=kind, rows=len(ids))
    elif len(ids) > 1:
        log.warning("batch failed, trying its halves", kind=kind, rows=len(ids), error=type(error).__name__)
        middle = len(ids) // 2
        _attempt(kind, verb, ids[:middle])
        _attempt(kind, verb, ids[middle:])
    else:
        _count_attempt(kind, ids, error)


def _count_attempt(kind: str, ids: Sequence[int], error: Exception) -> None:
    counted = attempts.count(ids, attempts.summary_of(error), attempts.trace_of(error))
    log.error("work failed", kind=kind, attempts=counted, exc_info=error)


def _milliseconds_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
