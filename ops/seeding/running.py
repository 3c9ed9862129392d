"""`orders seed --orders N`: write a history with several processes, have it counted, and say what was done.

Ctrl-C, or anything worse, leaves a shorter history: the same arguments go on where it was stopped, and the day before
which it ends is one of them.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from sqlalchemy import Engine, text

from models.analytics import rollups
from models.lifecycle import Policy
from ops import seed
from ops.failures import LocalError
from ops.seeding import writing
from ops.seeding.history import History
from ops.seeding.writing import Written
from runtime import clock, database
from runtime.database import Role
from runtime.settings import Environment, Settings

# The fold cannot pass a transaction that is older than what it folds; for so long it is waited for them.
PATIENCE_SECONDS = 20.0
WRITTEN_TABLES = ("users", "orders", "order_items", "order_events", "idempotency_keys", "outbox")


@dataclass(frozen=True)
class Seeded:
    """What this run has written; the rest was there before. `is_folded`: the aggregates count all of it."""

    history: History
    customers: int
    written: Written
    is_folded: bool
    seconds: dict[str, float]


def run(settings: Settings, history: History, workers: int, console: Console, *, in_production: bool = False) -> Seeded:
    """Write what is missing of the history, and have it counted.

    Raises:
        LocalError: it may not be written here, or was not wholly written.
    """
    _refuse(settings, history, in_production=in_production)
    seed.run(settings)
    seconds = {}
    with _bars(console) as bars:
        began = time.monotonic()
        customers, written = _write(settings, history, workers, bars)
        seconds["writing"] = time.monotonic() - began
        began = time.monotonic()
        _vacuum(settings, bars)
        seconds["vacuuming"] = time.monotonic() - began
        began = time.monotonic()
        is_folded = _fold(settings, written.events, bars)
        seconds["folding"] = time.monotonic() - began
    return Seeded(history, customers, written, is_folded, seconds)


def _refuse(settings: Settings, history: History, *, in_production: bool) -> None:
    if settings.environment is Environment.PRODUCTION and not in_production:
        raise LocalError(
            "ENVIRONMENT is production here (it is wherever nothing else is set): made-up orders would stand among "
            "real ones for ever. Nothing was written. If that is what you want, add --in-production."
        )
    if history.until > clock.business_day(clock.now(), settings.zone):
        raise LocalError("a history does not reach into the future: --until can be today at the latest.")


def _write(settings: Settings, history: History, workers: int, bars: Progress) -> tuple[int, Written]:
    """Returns how many customers were written, and what else."""
    engine = database.bulk_engine(settings)
    bar, written = bars.add_task("orders", total=history.orders), Written()
    try:
        with engine.begin() as connection:
            customers = writing.write_customers(connection, history)
        slices = _in_processes(settings, history, workers) if workers > 1 else _here(engine, settings, history)
        for part, more in slices:
            written += more
            bars.advance(bar, len(history.numbers(part)))
    except KeyboardInterrupt:
        raise LocalError(
            f"stopped after {int(bars.tasks[bar].completed):,} of {history.orders:,} orders, each of them whole. The "
            f"same command goes on from there: with `--until {history.until}`, on another day too."
        ) from None
    finally:
        engine.dispose()
    return customers, written


def _here(engine: Engine, settings: Settings, history: History) -> Iterator[tuple[int, Written]]:
    for part in range(history.slices):
        yield part, _write_slice(engine, settings, history, part)


def _in_processes(settings: Settings, history: History, workers: int) -> Iterator[tuple[int, Written]]:
    """The slices as they are done, in any sequence. At Ctrl-C, those that are begun are finished."""
    # Not forked from this process: the bars have a thread, and a fork would inherit its locks.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([writing.__name__])
    executor = ProcessPoolExecutor(workers, context, initializer=_begin_process)
    try:
        parts = {executor.submit(_write_slice_there, settings, history, part): part for part in range(history.slices)}
        for done in as_completed(parts):
            yield parts[done], done.result()
    finally:
        executor.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """Ctrl-C is the parent's business; but nobody writes on whose parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.join,), daemon=True).start()


def _end_with(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def _write_slice_there(settings: Settings, history: History, part: int) -> Written:
    return _write_slice(_own_engine(settings), settings, history, part)


@cache
def _own_engine(settings: Settings) -> Engine:
    return database.bulk_engine(settings)


def _write_slice(engine: Engine, settings: Settings, history: History, part: int) -> Written:
    with engine.begin() as connection:
        return writing.write_slice(connection, history, part, Policy.of(settings))


def _vacuum(settings: Settings, bars: Progress) -> None:
    """What autovacuum would get round to: statistics for the plans, and pages known to have no dead rows."""
    engine = database.bulk_engine(settings)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in bars.track(WRITTEN_TABLES, description="tables vacuumed"):
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))
    engine.dispose()


def _fold(settings: Settings, events: int, bars: Progress) -> bool:
    """Fold, as the timetable does every few seconds, until what was committed by now is counted.

    False where a transaction that began before holds the fold back: the timetable will see to the rest.
    """
    engine = database.engine(settings, Role.WORKER)
    bar, folded = bars.add_task("events folded", total=max(events, 1)), 0
    with engine.begin() as connection:
        target = connection.execute(text("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)")).scalar_one()
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while not _has_reached(engine, target) and time.monotonic() < deadline:
            with engine.begin() as connection:
                more, _ = rollups.fold(connection)
            folded += more
            bars.update(bar, completed=min(folded, events))
            if more:
                deadline = time.monotonic() + PATIENCE_SECONDS
            else:
                time.sleep(0.1)
        bars.update(bar, completed=events)
        return _has_reached(engine, target)
    except rollups.UntrustedWatermark:
        return False
    finally:
        engine.dispose()


def _has_reached(engine: Engine, target: str) -> bool:
    with engine.begin() as connection:
        reached = text("SELECT upto >= CAST(:target AS xid8) FROM rollup_state WHERE name = :name")
        return bool(connection.execute(reached, {"target": target, "name": rollups.NAME}).scalar_one())


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
