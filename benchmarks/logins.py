"""What many logins at once do to everything else: `python -m benchmarks.logins`.

Turns with and without them alternate, so that only the ratio between neighbours counts. Orders are placed by 64
connections all the time, every few milliseconds somebody asks whether the API lives, and its memory is looked at.
"""

import http.client
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import psycopg
import typer
from rich.console import Console

from benchmarks import contenders, load, login_load, stand
from benchmarks.contenders import SKUS, Ours
from benchmarks.load import Plan, percentile_ms
from benchmarks.login_load import Logins, Seen
from models.identity import passwords
from ops.processes import ports
from ops.progress import Progress
from runtime import settings
from runtime.settings import Settings

PASSWORD = "a password for a storm of logins"
USERS, TOKENS, CONNECTIONS = 10_000, 1_000, 64
PROBES, PROBE_SECONDS = 8, 0.02
WARM_UP_SECONDS = 2.0
# Orders in the storm, as a share of those without it.
RATIO_MIN = 0.5
# Two hashes at once would be 38 MiB a process, and all the logins at once 3.8 GiB.
MEBIBYTES_MORE_MAX = 200
MEBIBYTE = 1024 * 1024


@dataclass
class Watched:
    """How the API was while it was watched."""

    liveness: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory_peak: int = 0

    @property
    def p99_ms(self) -> float:
        return percentile_ms(sorted(self.seconds), 0.99)


@dataclass(frozen=True)
class Turn:
    """`seen` is what those who logged in saw, in a turn with a storm."""

    orders_per_second: float
    watched: Watched
    seen: Seen | None


@dataclass(frozen=True)
class Measured:
    calm: list[Turn]
    storm: list[Turn]

    @property
    def ratio(self) -> float:
        return statistics.median(self._rates(self.storm)) / statistics.median(self._rates(self.calm))

    @property
    def mebibytes_more(self) -> float:
        """How much memory the storm cost at its worst."""
        return (_peak(self.storm) - _peak(self.calm[:1])) / MEBIBYTE

    @property
    def logins(self) -> Counter[str]:
        return sum((Counter(turn.seen.statuses) for turn in self.storm if turn.seen), Counter())

    @property
    def is_good(self) -> bool:
        return self.ratio >= RATIO_MIN and self.mebibytes_more <= MEBIBYTES_MORE_MAX

    def _rates(self, turns: list[Turn]) -> list[float]:
        return [turn.orders_per_second for turn in turns]


def _peak(turns: list[Turn]) -> int:
    return max(turn.watched.memory_peak for turn in turns)


def run(rounds: int, seconds: float, clients: int, progress: Progress) -> Measured:
    """Measure.

    Raises:
        LoadFailed: an order was refused.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-bench-")))
        with progress.step(f"engines, tables, {USERS:,} users, API × {contenders.API_PROCESSES}"):
            stood = stack.enter_context(stand.standing(directory, USERS))
            with stood.superuser() as connection:
                emails = _with_password(connection, settings.read(stood.environment), clients)
            ours = stack.enter_context(contenders.ours(stood, TOKENS, CONNECTIONS))
        with progress.step("warm-up"):
            _orders_per_second(ours, WARM_UP_SECONDS)
        measured = Measured([], [])
        for number in range(1, rounds + 1):
            with progress.step(f"round {number} of {rounds}: nobody logs in"):
                measured.calm.append(_turn(ours, seconds, []))
            with progress.step(f"round {number} of {rounds}: {clients} log in at once"):
                measured.storm.append(_turn(ours, seconds, emails))
    return measured


def _with_password(connection: psycopg.Connection, configured: Settings, clients: int) -> list[str]:
    """The addresses of so many users who can log in from now on."""
    hashed = passwords.hasher(configured).hash(PASSWORD)
    rows = connection.execute(
        "UPDATE users SET password_hash = %s WHERE id IN (SELECT id FROM users WHERE email LIKE 'customer-%%' "
        "ORDER BY id LIMIT %s) RETURNING email",
        [hashed, clients],
    )
    return [email for [email] in rows]


def _turn(ours: Ours, seconds: float, emails: list[str]) -> Turn:
    ours.clear()
    with ExitStack() as stack:
        seen = None
        if emails:
            logins = Logins(ours.listeners.port, emails, PASSWORD, seconds + 1)
            seen = stack.enter_context(login_load.storming(logins))
            time.sleep(1)
        with _watching(ours) as watched:
            orders_per_second = _orders_per_second(ours, seconds)
    return Turn(orders_per_second, watched, seen[0] if seen else None)


def _orders_per_second(ours: Ours, seconds: float) -> float:
    result = load.run(Plan(ours.listeners.port, "/v1/orders", ours.tokens, SKUS, ours.connections, seconds))
    result.expect_only_accepted()
    return result.accepted / result.seconds


@contextmanager
def _watching(ours: Ours) -> Iterator[Watched]:
    watched, over = Watched(), threading.Event()
    thread = threading.Thread(target=_watch, args=(ours, watched, over), name="watch")
    thread.start()
    try:
        yield watched
    finally:
        over.set()
        thread.join()


def _watch(ours: Ours, watched: Watched, over: threading.Event) -> None:
    """The kernel spreads these connections over the processes."""
    processes = [psutil.Process(pid) for pid in ours.listeners.pids]
    probes = [http.client.HTTPConnection(ports.LOOPBACK, ours.listeners.port, timeout=30) for _ in range(PROBES)]
    while not over.is_set():
        for probe in probes:
            began = time.perf_counter()
            probe.request("GET", "/health/liveness")
            answer = probe.getresponse()
            answer.read()
            watched.seconds.append(time.perf_counter() - began)
            watched.liveness[answer.status] += 1
            over.wait(PROBE_SECONDS)
        watched.memory_peak = max(watched.memory_peak, sum(process.memory_info().rss for process in processes))
    for probe in probes:
        probe.close()


def show(measured: Measured, console: Console) -> None:
    for name, turns in (("nobody logs in", measured.calm), ("many log in", measured.storm)):
        rates = ", ".join(f"{turn.orders_per_second:,.0f}" for turn in turns)
        p99 = max(turn.watched.p99_ms for turn in turns)
        console.print(f"{name:<15} orders/s {rates}; liveness p99 {p99:.1f} ms; API {_peak(turns) / MEBIBYTE:.0f} MiB")
    waited = [turn.seen.p99_ms for turn in measured.storm if turn.seen]
    console.print(f"logins answered {dict(measured.logins)}, p99 of those that got in {max(waited):.0f} ms")
    console.print(f"orders in the storm × {measured.ratio:.2f} (at least {RATIO_MIN})")
    console.print(f"memory in the storm {measured.mebibytes_more:+.0f} MiB (at most {MEBIBYTES_MORE_MAX})")


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns there are with logins, and without.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="How long each turn lasts.")] = 6.0,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="How many log in at once.")] = 200,
) -> None:
    """Exit code 1 if logins take more than half of the orders, or memory without bound."""
    measured = run(rounds, seconds, clients, Progress(Console(stderr=True)))
    show(measured, Console())
    raise typer.Exit(int(not measured.is_good))


if __name__ == "__main__":
    typer.run(main)
