"""Who is measured: what all contenders have in common, and the first of them, the system itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from benchmarks import callers, load, stand
from benchmarks.load import LoadFailed, Plan
from benchmarks.stand import DATABASE, Listeners, Stand
from ops import seed
from runtime import settings
from runtime.database import Role

API_PROCESSES = 2
SKUS = [sku for sku, *_ in seed.CATALOGUE]
ORDER_TABLES = "orders, order_items, order_events, outbox, idempotency_keys, transition_requests"
ACCEPTED_LINE = b'"status":201'


@dataclass(frozen=True)
class Played:
    """What one contender did in one round, as its load saw it. `split`: how many orders each process took."""

    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float
    load_cpu_seconds: float
    split: Sequence[int] = ()


class Contender(Protocol):
    """One that accepts orders. `role` is its database role, which it shares with nobody."""

    @property
    def name(self) -> str: ...

    @property
    def database(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def groups(self) -> Mapping[str, Sequence[int]]:
        """Its process ids by name, besides PostgreSQL's."""

    def clear(self) -> None:
        """Forget all orders."""

    def play(self, seconds: float) -> Played:
        """Accept orders for so long.

        Raises:
            LoadFailed: not everything was accepted.
        """


@dataclass(frozen=True)
class Ours:
    stand: Stand
    listeners: Listeners
    tokens: Sequence[str]
    connections: int
    name: str = "ours"
    database: str = DATABASE
    role: str = Role.API

    @property
    def groups(self) -> Mapping[str, Sequence[int]]:
        return {"app": self.listeners.pids}

    def clear(self) -> None:
        with self.stand.superuser() as connection:
            connection.execute(f"TRUNCATE {ORDER_TABLES}".encode())

    def play(self, seconds: float) -> Played:
        before = self.listeners.lines_with(ACCEPTED_LINE)
        plan = Plan(self.listeners.port, "/v1/orders", self.tokens, SKUS, self.connections, seconds)
        result = load.run(plan)
        result.expect_only_accepted()
        after = self.listeners.lines_with(ACCEPTED_LINE)
        split = [late - early for early, late in zip(before, after, strict=True)]
        if not all(split):
            raise LoadFailed(f"one of the API processes got no work, or its access lines look different now: {split}")
        return Played(result.accepted, result.seconds, result.p50_ms, result.p99_ms, result.cpu_seconds, split)


@contextmanager
def ours(stood: Stand, tokens_count: int, connections: int) -> Iterator[Ours]:
    """Two API processes, which have seen all tokens."""
    numbers = callers.some(tokens_count, stood.users)
    tokens = callers.sign_tokens(settings.read(stood.environment), numbers)
    with stand.api(stood.environment, stood.directory, API_PROCESSES) as listeners:
        callers.show(tokens, listeners.port, listeners.pids)
        yield Ours(stood, listeners, tokens, connections)
