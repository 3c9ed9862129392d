"""Engines and transactions. Every process connects with one login and becomes its own database role.

The role and the time limits are start-up options of the connection, so that no query is spent on them and none can
run without them. Only the edges (an API request, a task, a command) open transactions; the verbs in `models` never
commit.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import psycopg
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runtime import settings as configuration
from runtime.settings import Settings, sqlalchemy_url

CONNECT_TIMEOUT_SECONDS = 5
# A peer that vanished without a word would otherwise be waited for until the kernel gives up, minutes later: no limit
# of the server's reaches who cannot hear it.
NOTICED_WHEN_GONE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=10)
MIGRATION = "orders_migrate"
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
DEADLOCK_DETECTED = "40P01"
SERIALIZATION_FAILURE = "40001"
# A worker's batch may wait behind another batch that holds the same products; an API request must not.
WORKER_STATEMENT_TIMEOUT = timedelta(seconds=30)
WORKER_LOCK_TIMEOUT = timedelta(seconds=10)
# Plans are made once and kept. One that is made while a table is empty would read all of it for every row that is
# looked up, until PostgreSQL has counted again: a minute of that is longer than any backlog.
ALONG_INDEXES = {"enable_seqscan": "off"}
# Triggers are off then, and foreign keys are triggers.
TRUSTING = {"session_replication_role": "replica"}


class Role(StrEnum):
    """What a process may do; the grants are data in `models/grants.py`."""

    OWNER = "orders_owner"
    API = "orders_api"
    WORKER = "orders_worker"


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _connect_arguments(settings: Settings, role: Role, **more: object) -> dict[str, Any]:
    is_api = role is Role.API
    options: dict[str, object] = {
        "role": role,
        "timezone": "UTC",
        "statement_timeout": _milliseconds(settings.statement_timeout if is_api else WORKER_STATEMENT_TIMEOUT),
        "lock_timeout": _milliseconds(settings.lock_timeout if is_api else WORKER_LOCK_TIMEOUT),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE_IN_TRANSACTION_TIMEOUT),
    }
    if role is Role.WORKER:
        options |= ALONG_INDEXES
    return {
        "options": " ".join(f"-c {name}={value}" for name, value in (options | more).items()),
        "application_name": role.value,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        **NOTICED_WHEN_GONE,
    }


def _pool(settings: Settings) -> dict[str, Any]:
    return {
        "pool_size": settings.database_pool_size,
        "max_overflow": 0,
        "pool_timeout": settings.database_pool_timeout.total_seconds(),
        # Errors are logged with their statement, and never with what clients sent.
        "hide_parameters": True,
    }


def engine(settings: Settings, role: Role) -> Engine:
    arguments = _connect_arguments(settings, role)
    # A worker that would find its connection dead in the middle of a batch gives the batch back for a whole lease.
    made = sqlalchemy.create_engine(
        settings.sqlalchemy_url, connect_args=arguments, pool_pre_ping=True, **_pool(settings)
    )
    event.listen(made, "handle_error", _forget_the_row)
    return made


def migrating_engine(settings: Settings) -> Engine:
    """Connections of the login itself, which may create roles and become the owner.

    A migration may take as long as it has to, whatever limit the server or the login sets: an index on a large table
    takes its minutes, and what is cut off after them is to be done once more. What must not last is what others wait
    for, and that is bounded where the statements are (`models/migrations/env.py`).
    """
    arguments = {
        "options": "-c statement_timeout=0",
        "application_name": MIGRATION,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        **NOTICED_WHEN_GONE,
    }
    return sqlalchemy.create_engine(settings.sqlalchemy_url, connect_args=arguments, poolclass=sqlalchemy.NullPool)


def bulk_engine(settings: Settings) -> Engine:
    """One connection of the owner's, without time limits, that trusts what it is given to refer to what is there.

    Looking up every row a row refers to costs more than writing both. Only a superuser's login (or one that may set
    `session_replication_role`) is trusted so; with another login, every reference is looked up.
    """
    untimed = {"statement_timeout": 0, "lock_timeout": 0, "idle_in_transaction_session_timeout": 0}
    arguments = _connect_arguments(settings, Role.OWNER, **untimed, **TRUSTING)
    try:
        psycopg.connect(settings.database_url.get_secret_value(), **arguments).close()
    except psycopg.OperationalError as error:
        if "session_replication_role" not in str(error):
            raise
        arguments = _connect_arguments(settings, Role.OWNER, **untimed)
    made = sqlalchemy.create_engine(settings.sqlalchemy_url, connect_args=arguments, **_pool(settings))
    event.listen(made, "handle_error", _forget_the_row)
    return made


def async_engine(settings: Settings, role: Role, url: SecretStr | None = None) -> AsyncEngine:
    """For requests. Each of them is after few rows, along an index, and is spared connections that have died.

    `url`: of another server than the primary.
    """
    pool = _pool(settings) | {"pool_pre_ping": True}
    return _async(settings, _connect_arguments(settings, role, **ALONG_INDEXES), pool, url)


def autocommitting_engine(settings: Settings, role: Role, connections: int, lock_timeout: timedelta) -> AsyncEngine:
    """An engine on which each statement is a transaction: there is nothing to begin, to commit or to roll back.

    For statements that look up and write single rows: they never read a whole table.
    """
    arguments = _connect_arguments(settings, role, lock_timeout=_milliseconds(lock_timeout), **ALONG_INDEXES)
    pool = _pool(settings) | {"pool_size": connections, "pool_reset_on_return": None}
    return _async(settings, arguments, pool | {"isolation_level": "AUTOCOMMIT"})


def _async(
    settings: Settings, connect_arguments: dict[str, Any], options: dict[str, Any], url: SecretStr | None = None
) -> AsyncEngine:
    spelled = sqlalchemy_url(url) if url else settings.sqlalchemy_url
    made = create_async_engine(spelled, connect_args=connect_arguments, **options)
    event.listen(made.sync_engine, "handle_error", _forget_the_row)
    return made


def _forget_the_row(failure: ExceptionContext) -> None:
    """Leave of PostgreSQL's message what was wrong, and not with which row (SECURITY S39).

    DETAIL and CONTEXT quote values, over as many lines as these have: what is kept is the one primary message. Done
    here, before anybody sees the error, it holds for every log line, traceback and dead letter.
    """
    error, wrapped = failure.original_exception, failure.sqlalchemy_exception
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    if primary is None:
        return
    told, error.args = str(error), (primary,)
    if wrapped is not None:
        wrapped.args = (str(wrapped.args[0]).replace(told, primary), *wrapped.args[1:])


@cache
def _shared(role: Role) -> Engine:
    return engine(configuration.current(), role)


# A forked child must not speak through its parent's sockets; it makes engines of its own.
os.register_at_fork(after_in_child=_shared.cache_clear)


@contextmanager
def transaction(role: Role = Role.WORKER) -> Iterator[Connection]:
    """One transaction on this process's shared engine: committed at the end, rolled back on any exception."""
    with _shared(role).begin() as connection:
        yield connection


def connect(role: Role = Role.WORKER) -> Connection:
    """A connection for somebody who keeps it: the caller begins transactions on it and closes it."""
    return _shared(role).connect()


@contextmanager
def session(role: Role = Role.WORKER) -> Iterator[Connection]:
    """One connection in autocommit mode, for what must outlive a transaction: advisory locks, polling."""
    with _shared(role).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def is_unavailable(error: BaseException) -> bool:
    """Whether the database could not be asked at all: it is down, restarting, full of connections or cut off."""
    original = getattr(error, "orig", error)
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return True
    return isinstance(original, psycopg.OperationalError) and (
        original.sqlstate is None or original.sqlstate.startswith(("08", "57P", "53"))
    )


def is_lock_timeout(error: BaseException) -> bool:
    """Whether `lock_timeout` ended a wait for somebody else's transaction."""
    return sqlstate(error) == LOCK_NOT_AVAILABLE


def has_waited_for_row_of(error: BaseException, *relations: str) -> bool:
    """Whether `lock_timeout` ended a wait for a row that somebody else's transaction puts into one of these tables or
    indexes; and not, for example, a wait for a whole table."""
    where = getattr(getattr(getattr(error, "orig", None), "diag", None), "context", None) or ""
    return is_lock_timeout(error) and any(f'"{relation}"' in where for relation in relations)


def is_worth_retrying(error: BaseException) -> bool:
    """Whether the same transaction may well succeed when it is tried again: a time limit, a deadlock, a lost race."""
    return sqlstate(error) in (LOCK_NOT_AVAILABLE, QUERY_CANCELED, DEADLOCK_DETECTED, SERIALIZATION_FAILURE)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-letter error code (PostgreSQL documentation, appendix A), if there is one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def violated_constraint(error: BaseException) -> str | None:
    """The name of the constraint, or unique index, that refused a row, if one did."""
    return getattr(getattr(getattr(error, "orig", None), "diag", None), "constraint_name", None)


def cause(error: BaseException) -> dict[str, str]:
    """What a log line may say of any error: its type and, where PostgreSQL has told them, its code and the constraint.

    Not its message, which quotes a value that cannot be read.
    """
    told = {"sqlstate": sqlstate(error), "constraint": violated_constraint(error)}
    return {"error": type(error).__name__, **{name: value for name, value in told.items() if value}}


def cause_in_words(error: BaseException) -> dict[str, str]:
    """As `cause`, with the database's message, or that of the connection: for statements that carry nothing of a
    client's, or none of whose values can be at fault."""
    original = getattr(error, "orig", None) or error
    words = str(original).partition("\n")[0] if isinstance(original, psycopg.Error | OSError) else ""
    return cause(error) | ({"message": words} if words else {})
