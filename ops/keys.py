"""`orders keys`: rotating the keys that sign access tokens, while everything runs.

A new key is published first. Every API process has adopted it, or believes no token at all, before it signs: see
`TRUST_SECONDS` in `api/identity/lookout.py`. With the owner's database role: the API may read keys, and write none.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import Engine

from api.identity.lookout import TRUST_SECONDS
from models.identity import signing_keys
from models.identity.signing_keys import KeyRecord, KeyState
from ops import operator
from runtime import database
from runtime.settings import Settings

# Whoever looked before that is blind by then.
WAIT_SECONDS_MIN = 2 * TRUST_SECONDS
STEP_SECONDS = 0.1
MEANING = {
    KeyState.PUBLISHED: "to sign next",
    KeyState.ACTIVE: "signs",
    KeyState.RETIRED: "signs no more",
}


def found(settings: Settings) -> list[KeyRecord]:
    """Every key, the newest first."""
    with _engine(settings) as engine, engine.begin() as connection:
        return signing_keys.records(connection)


def rotate(settings: Settings, wait_seconds: float, console: Console) -> list[KeyRecord]:
    """Publish a key, wait, and let it sign; returns all keys. If it is interrupted, the next one goes on with that key.

    Raises:
        errors.Conflict: another rotation has got there first.
    """
    with _engine(settings) as engine:
        with engine.begin() as connection:
            kid = signing_keys.announce(connection, settings)
        console.print(f"{kid} is published, and signs in {wait_seconds:g} s", highlight=False)
        _wait(wait_seconds, console)
        with engine.begin() as connection:
            signing_keys.rotate(connection, kid, operator.requester())
            return signing_keys.records(connection)


def retire(settings: Settings, kid: str) -> KeyRecord:
    """Void what a key signed, at once.

    Raises:
        errors.NotFound, errors.Conflict
    """
    with _engine(settings) as engine, engine.begin() as connection:
        return signing_keys.retire(connection, kid, operator.requester())


def document(record: KeyRecord) -> dict[str, Any]:
    return asdict(record)


def show_list(records: Sequence[KeyRecord], console: Console) -> None:
    table = Table("kid", "state", "made", "signs since", "trusted until", "", box=None, pad_edge=False)
    for record in records:
        times = (record.created_at, record.activated_at, record.trusted_until)
        spelled = [moment.isoformat(" ", "seconds") if moment else "–" for moment in times]
        verifies = record.state is KeyState.RETIRED and record.is_trusted
        means = MEANING[record.state] + (", and verifies what it signed" if verifies else "")
        table.add_row(record.kid, record.state, *spelled, means)
    console.print(table)


def _wait(seconds: float, console: Console) -> None:
    """With a progress bar, on a terminal."""
    ends_at = time.monotonic() + seconds
    steps = range(max(1, round(seconds / STEP_SECONDS)))
    for _ in track(steps, "Every process hears of it", console=console, disable=not console.is_terminal):
        time.sleep(min(STEP_SECONDS, max(0.0, ends_at - time.monotonic())))


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    engine = database.engine(settings, database.Role.OWNER)
    try:
        yield engine
    finally:
        engine.dispose()
