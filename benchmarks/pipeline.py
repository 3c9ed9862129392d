"""`orders bench pipeline`: how soon an accepted order moves, how many move a second, and what its whole way costs.

Three measurements on one stand. How soon: one order at a time, from the commit that accepts it until another connection
sees it confirmed, with relay, worker and beat running as they do. How many: a backlog moved from confirmed to
processing by one worker node of two children, in turns with the tutorial's worker node (one task per order, an ORM
session in it) and with acceptance; who does not play stands still. What it costs: orders are placed from all
connections and moved to `delivered`, and the CPU time of every process is read off.
"""

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from api.views.orders import AnswerRenderer
from benchmarks import backlogs, callers, contenders, meters, nodes, stand
from benchmarks.contenders import Contender
from benchmarks.load import LoadFailed
from benchmarks.stand import Stand
from models import acceptance
from models.acceptance import Answer, Item, Request, Terms
from models.lifecycle import Actor, Policy
from ops.progress import Progress
from runtime import database, settings

POLL_SECONDS = 0.0005
PATIENCE_SECONDS = 60.0
# Long enough for everything to have come to rest, and never in step with anybody's polling.
PAUSE_SECONDS = (0.05, 0.25)
WARM_UP_ORDERS = 5
WARM_UP_BACKLOG = 2000
AS_PEOPLE_PLAY = {"AUTOPILOT": "false"}
TO_THE_END = {"AUTOPILOT": "true", "AUTOPILOT_DWELL": "0"}
ACCEPTED = "accepted"

_MOVED = "SELECT FROM order_events WHERE order_id = %s AND version = 2"
_DELIVERED = "SELECT count(*) FROM orders WHERE status = 'delivered'"


@dataclass(frozen=True)
class Options:
    """The command line of `orders bench pipeline`."""

    rounds: int = 3
    seconds: float = 6.0
    backlog: int = 50_000
    tutorial_backlog: int = 2_000
    singles: int = 100
    connections: int = 64
    users: int = 10_000
    tokens: int = 1_000


@dataclass(frozen=True)
class Cost:
    """CPU microseconds per order, accepted and delivered, by group of processes; the load's are the client's."""

    orders: int
    cpu_us_per_order: dict[str, float]

    @property
    def ours_us(self) -> float:
        return sum(spent for group, spent in self.cpu_us_per_order.items() if group != "load")


@dataclass(frozen=True)
class Measured:
    """`rates`: orders per second in each round: accepted, moved by ours, moved by the tutorial."""

    confirmed_ms: list[float]
    rates: dict[str, list[float]]
    costs: list[Cost]


def run(options: Options, progress: Progress) -> Measured:
    """Measure.

    Raises:
        LocalError: something was not accepted or not moved; then nothing was measured.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-bench-")))
        with progress.step(f"engines, tables, {options.users:,} users"):
            stood = stack.enter_context(stand.standing(directory, options.users))
        with progress.step(f"{options.singles} orders, one at a time"):
            confirmed_ms = _confirmed_ms(stood, options.singles)
        rates = _rates(options, stood, progress)
        costs = _costs(options, stood, progress)
        return Measured(confirmed_ms, rates, costs)


def _confirmed_ms(stood: Stand, singles: int) -> list[float]:
    """From the commit of each order until its confirmation is seen. The looking itself costs up to a millisecond."""
    environment = {**stood.environment, **AS_PEOPLE_PLAY}
    configuration = settings.read(environment)
    engine = database.engine(configuration, database.Role.API)
    terms = Terms(Policy.of(configuration), configuration.zone, AnswerRenderer())
    pauses = random.Random(1)  # noqa: S311 - how long to wait is no secret
    taken = []
    with nodes.pipeline(stood, environment, beat=True), stood.superuser() as looking:
        for number in range(WARM_UP_ORDERS + singles):
            time.sleep(pauses.uniform(*PAUSE_SECONDS))
            taken.append(_one_confirmed_ms(engine, terms, looking, number))
    engine.dispose()
    return taken[WARM_UP_ORDERS:]


def _one_confirmed_ms(engine: Engine, terms: Terms, looking: psycopg.Connection, number: int) -> float:
    request = Request(callers.user_id(1), Actor.OWNER, f"single-{number}", b"single", (Item("BOWL-OAK", 1),))
    with engine.begin() as connection:
        [answer] = acceptance.accept(connection, [request], terms)
    began = time.perf_counter()
    assert isinstance(answer, Answer)
    while looking.execute(_MOVED, [answer.order_id]).fetchone() is None:
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise LoadFailed(f"an order was not confirmed within {PATIENCE_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)
    return (time.perf_counter() - began) * 1000


def _rates(options: Options, stood: Stand, progress: Progress) -> dict[str, list[float]]:
    """Orders per second: accepted with nobody moving them, then moved by one worker node each."""
    environment = {**stood.environment, **AS_PEOPLE_PLAY}
    with ExitStack() as stack:
        with progress.step("relay, worker; tutorial worker; API × 2"):
            pids = stack.enter_context(nodes.pipeline(stood, environment, beat=False))
            ours = backlogs.Ours(stood, [pid for group in pids.values() for pid in group])
            theirs = stack.enter_context(backlogs.tutorial(stood))
            accepting = stack.enter_context(contenders.ours(stood, options.tokens, options.connections))
        with progress.step("warm-up"):
            ours.work_off(WARM_UP_BACKLOG)
        found: dict[str, list[float]] = {ACCEPTED: [], ours.name: [], theirs.name: []}
        for number in range(1, options.rounds + 1):
            with progress.step(f"round {number} of {options.rounds}: accepting"):
                found[ACCEPTED].append(_accepted_rate(options, accepting, [*ours.pids, *theirs.pids]))
            for backlog, other, orders in (
                (ours, theirs, options.backlog),
                (theirs, ours, options.tutorial_backlog),
            ):
                with (
                    progress.step(f"round {number} of {options.rounds}: {backlog.name}, {orders:,} orders"),
                    nodes.standing_still(other.pids),
                ):
                    found[backlog.name].append(backlog.work_off(orders))
        return found


def _accepted_rate(options: Options, accepting: Contender, others: Sequence[int]) -> float:
    with nodes.standing_still(others):
        accepting.clear()
        played = accepting.play(options.seconds)
        accepting.clear()  # or it would be worked off in somebody else's turn
    return played.orders / played.seconds


def _costs(options: Options, stood: Stand, progress: Progress) -> list[Cost]:
    """What an order costs from its bytes to `delivered`, with everything running; the first turn warms up."""
    environment = {**stood.environment, **TO_THE_END}
    with ExitStack() as stack:
        with progress.step("relay, worker, beat; API × 2"):
            pids = stack.enter_context(nodes.pipeline(stood, environment, beat=True))
            accepting = stack.enter_context(contenders.ours(stood, options.tokens, options.connections))
        groups = {
            **pids,
            "api": accepting.groups["app"],
            "postgres": [stood.postgres_pid],
            "valkey": [stood.valkey_pid],
        }
        costs = []
        for number in range(options.rounds + 1):
            with progress.step(f"round {number} of {options.rounds}: accepted and delivered"):
                costs.append(_cost(stood, accepting, groups, options.seconds))
        return costs[1:]


def _cost(stood: Stand, accepting: Contender, groups: Mapping[str, Sequence[int]], seconds: float) -> Cost:
    accepting.clear()
    before = {name: meters.cpu_seconds(pids) for name, pids in groups.items()}
    played = accepting.play(seconds)
    with stood.superuser() as connection:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (delivered := _count(connection, _DELIVERED)) < played.orders:
            if time.monotonic() > deadline:
                raise LoadFailed(f"{delivered} of {played.orders} orders were delivered in {PATIENCE_SECONDS:.0f} s.")
            time.sleep(1)
    spent = {name: meters.cpu_seconds(pids) - before[name] for name, pids in groups.items()}
    spent["load"] = played.load_cpu_seconds
    return Cost(played.orders, {name: 1e6 * each / played.orders for name, each in spent.items()})


def _count(connection: psycopg.Connection, statement: str) -> int:
    [[number]] = connection.execute(statement.encode()).fetchall()
    return int(number)
