"""`orders bench analytics`: what an answer costs at ten thousand orders and at ten million, and what keeps it so.

Two databases of one server, each seeded with a history and with an API process in front of it, which are asked in
turns. Beside that the same questions to the databases alone and to the raw orders, the fold of the same new orders into
both, and what the histories took to write and take on the disk.
"""

import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from rich.console import Console
from sqlalchemy import text

from benchmarks import analytics_asking as asking
from benchmarks.analytics_asking import LARGE, SMALL, Times
from benchmarks.analytics_questions import LAST_DAY, LIMIT, LIVE, RAW, UNTIL, flat_questions
from models.analytics import standard_windows
from models.analytics.standard_windows import DAYS, StandardWindow
from ops import check, migrate
from ops.failures import LocalError
from ops.local import engines
from ops.local.engines import Postgres, Valkey
from ops.processes import ports
from ops.progress import Progress
from ops.seeding import running
from ops.seeding.history import History
from ops.seeding.running import Seeded
from runtime import clock, database, settings
from runtime.database import Role
from runtime.settings import Settings

# What is folded into both: a week of new orders of their own.
NEW = History(orders=10_000, days=7, users=1000, seed=0, until=UNTIL)
NOTE = "seeded.json"
# What takes seconds is asked this often.
SLOW_ROUNDS = 3
# Of these the first log whole pages, as after every checkpoint.
FOLDS = 5
# As on a server that was set up for tens of gigabytes: checkpoints far apart, and room for the pages that are written.
SERVER = {"max_wal_size": "8GB", "checkpoint_timeout": "15min", "shared_buffers": "2GB"}

_SIZES = text(
    """
    SELECT relname, pg_total_relation_size(oid) / (SELECT count(*) FROM orders)::float AS bytes FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = :kind ORDER BY bytes DESC
    """
)


@dataclass(frozen=True)
class Options:
    """The command line of `orders bench analytics`."""

    orders: int = 10_000_000
    small: int = 10_000
    users: int = 100_000
    days: int = 730
    rounds: int = 100
    workers: int = os.cpu_count() or 1
    check: bool = True


@dataclass(frozen=True)
class Fold:
    events: int
    us_per_event: float


@dataclass(frozen=True)
class Measured:
    """`flat`: answers that must not depend on how many orders there are. `live`: those that may, with their time.

    `in_database`: what of that the database takes. `raw_ms`: what it takes for the same from the raw orders of the
    large system, where it was asked.
    """

    options: Options
    flat: Mapping[str, Times]
    live: Mapping[str, Times]
    in_database: Mapping[str, Times]
    raw_ms: Mapping[str, float]
    folds: Mapping[str, Fold]
    computed_ahead_seconds: Mapping[str, float]
    check_seconds: Mapping[str, float]
    seeded: Mapping[str, object]
    bytes_per_order: Mapping[str, float]
    index_bytes_per_order: Mapping[str, float]


def run(data: Path, options: Options, progress: Progress, console: Console) -> Measured:
    """Measure in `data`, which keeps the databases for the next run."""
    with (
        engines.running(Postgres(data / "postgres", settings=SERVER)) as postgres,
        engines.running(Valkey(data / "valkey", ports.free())) as valkey,
    ):
        environments = {name: _environment(postgres, valkey, name) for name in (SMALL, LARGE)}
        systems = {name: _migrated(environment) for name, environment in environments.items()}
        seeded = _seeded(data, systems, options, progress, console)
        today = clock.business_day(clock.now(), systems[LARGE].zone)
        ahead = {name: _computed_ahead(system, today) for name, system in systems.items()}
        flat, rounds, slow_rounds = flat_questions(today), options.rounds, min(options.rounds, SLOW_ROUNDS)
        with progress.step(f"{rounds} rounds of {len(flat)} questions"), asking.analysts(environments, data) as asked:
            answers = asking.times(asked, flat, rounds), asking.times(asked, LIVE, slow_rounds)
        with asking.readers(environments) as connections:
            with progress.step("the same of the databases alone"):
                asked = {name: asking.asking(connection) for name, connection in connections.items()}
                in_database = asking.times(asked, flat, rounds) | asking.times(asked, LIVE, slow_rounds)
            with progress.step(f"{len(RAW)} questions to the raw orders"):
                raw = asking.raw_ms(connections[LARGE], SLOW_ROUNDS)
        sizes, of_indexes = (_bytes_per_order(systems[LARGE], kind) for kind in ("r", "i"))
        # New ones in every run: in the runs after this one, these have been folded.
        seed = time.time_ns()
        folds = _folded_in_turns(systems, seed, options, console)
        checked = _checked(systems[LARGE], progress) if options.check else {}
    return Measured(options, *answers, in_database, raw, folds, ahead, checked, seeded, sizes, of_indexes)


def _environment(postgres: Postgres, valkey: Valkey, name: str) -> Mapping[str, str]:
    postgres.ensure_database(name)
    urls = {"DATABASE_URL": postgres.url(name), "BROKER_URL": valkey.url}
    return {**os.environ, "ENVIRONMENT": "local", "SECRET_KEY": "x" * 64, "LOG_FORMAT": "json", **urls}


def _migrated(environment: Mapping[str, str]) -> Settings:
    configuration = settings.read(environment)
    migrate.run(configuration, lambda _: None)
    return configuration


def _seeded(
    data: Path, systems: Mapping[str, Settings], options: Options, progress: Progress, console: Console
) -> Mapping[str, object]:
    """Write what is missing. What writing the large history took is noted beside it, for runs that find it there."""
    note = data / NOTE
    for name, orders in ((SMALL, options.small), (LARGE, options.orders)):
        history = History(orders, options.days, min(options.users, max(LIMIT, orders // 10)), 1, UNTIL)
        progress.say(f"{orders:,} orders")
        done = running.run(systems[name], history, options.workers, console)
        if not done.is_folded:
            raise LocalError("the fold was held back; run it again.")
    if done.written.orders == options.orders:
        note.write_text(json.dumps(_noted(done)))
    found: Mapping[str, object] = json.loads(note.read_text()) if note.exists() else {}
    return found


def _noted(done: Seeded) -> dict[str, object]:
    took = sum(done.seconds.values())
    return {
        "written": asdict(done.written),
        "seconds": done.seconds,
        "orders_per_second": done.written.orders / took,
        "fold_us_per_event": done.seconds["folding"] / done.written.events * 1e6,
    }


def _computed_ahead(system: Settings, today: date) -> float:
    """What beat does on and on: the users of the standard windows; returns the seconds for all of them.

    The window of all time, which only its name asks for, ends today; the others end where the history does.
    """
    engine = database.engine(system, Role.WORKER)
    began = time.perf_counter()
    for standard in StandardWindow:
        with engine.begin() as connection:
            standard_windows.compute(connection, standard, today if DAYS[standard] is None else LAST_DAY)
    engine.dispose()
    return time.perf_counter() - began


def _bytes_per_order(system: Settings, kind: str) -> dict[str, float]:
    """By table ("r"), with its indexes, or by index ("i"); what takes less than a byte is left out."""
    engine = database.engine(system, Role.OWNER)
    with engine.begin() as connection:
        sizes = {name: size for name, size in connection.execute(_SIZES, {"kind": kind}) if size >= 1}
    engine.dispose()
    return sizes


def _checked(system: Settings, progress: Progress) -> dict[str, float]:
    """What `orders check` takes, by invariant.

    Raises:
        LocalError: something is violated.
    """
    with progress.step("orders check of the large one"):
        findings = list(check.examined(system))
    violated = [each.invariant.name for each in findings if not each.is_clean]
    if violated:
        raise LocalError(f"the large one violates {', '.join(violated)}.")
    return {each.invariant.name: each.seconds for each in findings}


def _folded_in_turns(
    systems: Mapping[str, Settings], seed: int, options: Options, console: Console
) -> Mapping[str, Fold]:
    """What the fold takes for each event of a week of new orders."""
    new = replace(NEW, orders=min(NEW.orders, options.small))
    done: dict[str, list[Seeded]] = {name: [] for name in systems}
    for number in range(FOLDS):
        for name, system in systems.items():
            done[name].append(running.run(system, replace(new, seed=seed + number), options.workers, console))
    return {name: _fold(each) for name, each in done.items()}


def _fold(done: Sequence[Seeded]) -> Fold:
    """Medians."""
    us_per_event = statistics.median(each.seconds["folding"] / each.written.events * 1e6 for each in done)
    return Fold(int(statistics.median(each.written.events for each in done)), us_per_event)
