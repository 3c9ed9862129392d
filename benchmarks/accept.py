"""`orders bench accept`: how many orders a second, and at what cost, side by side with two yardsticks.

All three take their turns on the same engines in the same run, and only ratios between them, and counts, mean anything:
the machine is busy with other things, and another machine is another machine. Nothing but acceptance runs: no relay, no
workers. Before each turn the orders of the last one are gone. There is one checkpoint, after everybody has warmed up:
the first write to a page after a checkpoint logs the whole page, and with one before each turn the slow would pay most
per order for the pages of `users`.
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import contenders, meters, stand
from benchmarks.contenders import Contender, Played
from benchmarks.load import LoadFailed
from benchmarks.pgbench import pgbench
from benchmarks.stand import Stand
from benchmarks.tutorial.contender import tutorial
from ops.failures import LocalError
from ops.progress import Progress

WARM_UP_SECONDS = 2.0
# Tokens live for a quarter of an hour, and are signed before anything starts.
MEASURED_SECONDS_MAX = 12 * 60


@dataclass(frozen=True)
class Options:
    """The command line of `orders bench accept`."""

    rounds: int = 3
    seconds: float = 8.0
    connections: int = 64
    users: int = 100_000
    tokens: int = 10_000


@dataclass(frozen=True)
class Score:
    """One contender's round: what its load saw, and what the meters say it took, per order."""

    played: Played
    statements_per_order: float
    wal_bytes_per_order: float
    orders_per_batch: float | None
    cpu_us_per_order: dict[str, float]

    @property
    def orders_per_second(self) -> float:
        return self.played.orders / self.played.seconds


@dataclass(frozen=True)
class Measured:
    """The scores of all rounds, by contender, and what a flush costs on this disk."""

    scores: dict[str, list[Score]]
    flush_ms: float


def run(options: Options, progress: Progress) -> Measured:
    """Measure.

    Raises:
        LocalError: something was not accepted, or is not in the database; then nothing was measured.
    """
    if options.rounds * options.seconds * 3 > MEASURED_SECONDS_MAX:
        raise LocalError("the tokens would expire before the last round; ask for fewer or shorter rounds.")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-bench-")))
        with progress.step(f"engines, tables, {options.users:,} users"):
            stood = stack.enter_context(stand.standing(directory, options.users))
        flush_ms = stand.flush_ms(directory)
        field = _field(options, stood, stack, progress)
        with stood.superuser() as connection:
            connection.execute("CHECKPOINT")
        scores: dict[str, list[Score]] = {contender.name: [] for contender in field}
        for number in range(1, options.rounds + 1):
            for contender in field:
                with progress.step(f"round {number} of {options.rounds}: {contender.name}"):
                    scores[contender.name].append(measure(stood, contender, options.seconds))
        return Measured(scores, flush_ms)


def _field(options: Options, stood: Stand, stack: ExitStack, progress: Progress) -> Sequence[Contender]:
    """Everybody, running and warm."""
    with progress.step(f"API × 2, shown {options.tokens:,} tokens"):
        our = stack.enter_context(contenders.ours(stood, options.tokens, options.connections))
    with progress.step("warm-up: ours"):
        our.play(WARM_UP_SECONDS)
    with stood.superuser() as connection:
        [[body_bytes]] = connection.execute("SELECT avg(length(body))::int FROM idempotency_keys").fetchall()
    raw = pgbench(stood, options.connections, body_bytes)
    with progress.step(f"warm-up: {raw.name}"):
        raw.play(WARM_UP_SECONDS)
    with progress.step("tutorial app × 2"):
        usual = stack.enter_context(tutorial(stood, options.tokens, options.connections))
    with progress.step(f"warm-up: {usual.name}"):
        usual.play(WARM_UP_SECONDS)
    return [our, raw, usual]


def measure(stood: Stand, contender: Contender, seconds: float) -> Score:
    """One turn of one contender."""
    contender.clear()
    with stood.superuser(contender.database) as connection:
        groups = {**contender.groups, "postgres": [stood.postgres_pid]}
        cpu_before = {name: meters.cpu_seconds(pids) for name, pids in groups.items()}
        before = meters.counters(connection, contender.role)
        played = contender.play(seconds)
        spent = meters.counters(connection, contender.role) - before
        cpu = {name: meters.cpu_seconds(pids) - cpu_before[name] for name, pids in groups.items()}
        _expect_in_database(connection, contender, played)
    cpu["load"] = played.load_cpu_seconds
    return Score(
        played=played,
        statements_per_order=spent.statements / played.orders,
        wal_bytes_per_order=spent.wal_bytes / played.orders,
        orders_per_batch=played.orders / spent.batches if spent.batches else None,
        cpu_us_per_order={name: 1e6 * seconds_spent / played.orders for name, seconds_spent in cpu.items()},
    )


def _expect_in_database(connection: psycopg.Connection, contender: Contender, played: Played) -> None:
    [[found]] = connection.execute("SELECT count(*) FROM orders").fetchall()
    if found != played.orders:
        raise LoadFailed(f"{contender.name} accepted {played.orders} orders and {found} are in the database.")
