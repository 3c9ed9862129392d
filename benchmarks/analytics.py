"""`orders bench analytics`: what an answer costs at ten thousand orders and at ten million, and what keeps it so.

Two databases of one server, each seeded with a history: questions are put to both in turns, through the very verbs the
API uses, in a transaction of its own each. Beside them the same questions to the raw orders, the fold of the same new
orders into both, and what the histories took to write and take on the disk.
"""

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from sqlalchemy import Connection, text

from benchmarks.analytics_questions import FLAT, LIMIT, LIVE, RAW, TODAY, UNTIL, Question
from models.analytics import standard_windows
from models.analytics.standard_windows import StandardWindow
from ops import check, migrate
from ops.failures import LocalError
from ops.local import engines
from ops.local.engines import Postgres
from ops.progress import Progress
from ops.seeding import running
from ops.seeding.history import History
from ops.seeding.running import Seeded
from runtime import database, settings
from runtime.database import Role
from runtime.settings import Settings

SMALL, LARGE = "small", "large"
# What is folded into both: a week of new orders of their own.
NEW = History(orders=10_000, days=7, users=1000, seed=0, until=UNTIL)
NOTE = "seeded.json"
# What takes seconds is asked this often.
SLOW_ROUNDS = 3
# Time for what is asked once in a while: checkpoints far apart, as on a server that was set up for it.
SERVER = {"max_wal_size": "8GB", "checkpoint_timeout": "15min"}

_SET = text("SELECT set_config(:option, :value, false)")
_SIZES = text(
    """
    SELECT relname, pg_total_relation_size(oid) / (SELECT count(*) FROM orders)::float AS bytes FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = :kind ORDER BY bytes DESC
    """
)


@dataclass(frozen=True)
class Options:
    orders: int
    small: int
    users: int
    days: int
    rounds: int
    workers: int
    check: bool = True


@dataclass(frozen=True)
class Times:
    """Medians in milliseconds. `raw_ms`: the same asked of the raw orders of the large database, where it was."""

    small_ms: float
    large_ms: float
    raw_ms: float | None = None

    @property
    def ratio(self) -> float:
        return self.large_ms / self.small_ms


@dataclass(frozen=True)
class Fold:
    events: int
    us_per_event: float


@dataclass(frozen=True)
class Measured:
    """`flat`: what must not depend on how many orders there are. `live`: what may, with its time."""

    options: Options
    flat: Mapping[str, Times]
    live: Mapping[str, Times]
    folds: Mapping[str, Fold]
    computed_ahead_seconds: Mapping[str, float]
    check_seconds: Mapping[str, float]
    seeded: Mapping[str, object]
    bytes_per_order: Mapping[str, float]
    index_bytes_per_order: Mapping[str, float]


def run(data: Path, options: Options, progress: Progress, console: Console) -> Measured:
    """Measure in `data`, which keeps the databases for the next run."""
    with engines.running(Postgres(data / "postgres", settings=SERVER)) as postgres:
        systems = {name: _system(postgres, name) for name in (SMALL, LARGE)}
        seeded = _seeded(data, systems, options, progress, console)
        ahead = {name: _computed_ahead(systems[name]) for name in systems}
        with _connections(systems) as reading:
            with progress.step(f"{options.rounds} rounds of {len(FLAT) + len(LIVE)} questions"):
                flat = _asked(reading, FLAT, options.rounds)
                live = _asked(reading, LIVE, min(options.rounds, SLOW_ROUNDS))
            with progress.step(f"{len(RAW)} questions to the raw orders"):
                flat = _beside_raw(reading[LARGE], flat)
        sizes, of_indexes = (_bytes_per_order(systems[LARGE], kind) for kind in ("r", "i"))
        # New ones in every run: in the runs after this one, these have been folded.
        seed = time.time_ns()
        folds = {name: _folded(postgres, name, seed, options, console) for name in systems}
        checked = _checked(systems[LARGE], progress) if options.check else {}
    return Measured(options, flat, live, folds, ahead, checked, seeded, sizes, of_indexes)


def _system(postgres: Postgres, name: str) -> Settings:
    postgres.ensure_database(name)
    needed = {"ENVIRONMENT": "local", "BROKER_URL": "redis://localhost", "SECRET_KEY": "x" * 64}
    configuration = settings.read(needed | {"DATABASE_URL": postgres.url(name)})
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


def _computed_ahead(system: Settings) -> float:
    """What beat does on and on: the users of the standard windows; returns the seconds for all of them."""
    engine = database.engine(system, Role.WORKER)
    began = time.perf_counter()
    for standard in StandardWindow:
        with engine.begin() as connection:
            standard_windows.compute(connection, standard, TODAY)
    engine.dispose()
    return time.perf_counter() - began


@contextmanager
def _connections(systems: Mapping[str, Settings]) -> Iterator[Mapping[str, Connection]]:
    """As an API process has them, but for the time limit: what takes longer is measured, too."""
    with ExitStack() as stack:
        made = {}
        for name, system in systems.items():
            engine = database.engine(system, Role.API)
            stack.callback(engine.dispose)
            made[name] = stack.enter_context(engine.connect())
            _set(made[name], {**database.ALONG_INDEXES, "statement_timeout": "0"})
        yield made


def _set(connection: Connection, options: Mapping[str, str]) -> None:
    """For the whole session."""
    with connection.begin():
        for option, value in options.items():
            connection.execute(_SET, {"option": option, "value": value})


def _asked(connections: Mapping[str, Connection], of: Mapping[str, Question], rounds: int) -> dict[str, Times]:
    took: dict[tuple[str, str], list[float]] = {(each, name): [] for each in of for name in connections}
    for _ in range(rounds):
        for (each, name), seconds in took.items():
            seconds.append(_seconds(connections[name], of[each]))
    medians = {key: statistics.median(seconds) * 1000 for key, seconds in took.items()}
    return {each: Times(medians[each, SMALL], medians[each, LARGE]) for each in of}


def _seconds(connection: Connection, question: Question) -> float:
    began = time.perf_counter()
    with connection.begin():
        question(connection)
    return time.perf_counter() - began


def _beside_raw(connection: Connection, flat: Mapping[str, Times]) -> dict[str, Times]:
    """With the medians of the same questions to the raw orders, which may read the table as they like."""
    _set(connection, {"enable_seqscan": "on"})
    medians = {
        each: statistics.median(_seconds(connection, raw) for _ in range(SLOW_ROUNDS)) * 1000
        for each, raw in RAW.items()
    }
    return {each: replace(times, raw_ms=medians.get(each)) for each, times in flat.items()}


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


def _folded(postgres: Postgres, name: str, seed: int, options: Options, console: Console) -> Fold:
    """What the fold takes for each event of a week of new orders."""
    new = replace(NEW, seed=seed, orders=min(NEW.orders, options.small))
    done = running.run(_system(postgres, name), new, options.workers, console)
    return Fold(done.written.events, done.seconds["folding"] / done.written.events * 1e6)
