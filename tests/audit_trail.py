"""Writing into the audit log, reading it, sealing it, and doing to it what nobody may."""

import itertools
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from models import audit_chain, audit_log, audit_verification
from models.audit_chain import Head
from models.audit_log import Entry, EventName, Filter, Requester, SecurityEvent
from models.audit_verification import Verdict
from models.invariants import in_one_snapshot
from runtime import database, settings
from runtime.database import Role

_numbers = itertools.count(1)
WAIT_SECONDS = 10


def an_event(name: EventName = EventName.LOGIN_SUCCEEDED, **values: Any) -> SecurityEvent:
    by = Requester(f"actor-{next(_numbers)}", "192.0.2.7", "req_12345678")
    return SecurityEvent(name, by, **{"facts": {"number": 7, "because": "a „reason“"}, **values})


def record(*events: SecurityEvent, role: Role = Role.API) -> None:
    """In one transaction."""
    with database.transaction(role) as connection:
        for event in events:
            audit_log.record(connection, event)


def entries(**narrowed: Any) -> list[Entry]:
    """The oldest first."""
    with database.transaction(Role.WORKER) as connection:
        return audit_log.page(connection, Filter(**narrowed), None, 100_000)[::-1]


def recorded(number: int) -> list[Entry]:
    """The entries, once there are so many: a refusal is answered before it is written."""
    ends_at = time.monotonic() + WAIT_SECONDS
    while len(found := entries()) < number:
        assert time.monotonic() < ends_at, found
        time.sleep(0.01)
    return found


def told(entry: Entry) -> tuple[str, str | None, Mapping[str, str | int]]:
    return entry.event, str(entry.user_id) if entry.user_id else None, entry.facts


def seal(limit: int = audit_chain.EVENTS_PER_BITE) -> tuple[int, Head]:
    with database.transaction(Role.WORKER) as connection:
        return audit_chain.seal(connection, settings.current(), limit)


def verify(noted: Head | None = None) -> Verdict:
    engine = database.engine(settings.current(), Role.WORKER)
    try:
        with in_one_snapshot(engine.connect()) as connection, connection.begin():
            return audit_verification.verify(connection, settings.current(), noted)
    finally:
        engine.dispose()


def tamper(*statements: str, **values: Any) -> None:
    """As the owner of the tables can who means it: with the triggers off."""
    with database.transaction(Role.OWNER) as connection:
        for table in ("audit_log", "audit_seals"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
        for statement in statements:
            connection.execute(text(statement), values)
        for table in ("audit_log", "audit_seals"):
            connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER append_only"))
