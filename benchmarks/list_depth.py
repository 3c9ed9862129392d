"""What a page of the list costs deep down: `python -m benchmarks.list_depth --orders 1000000`.

Orders are made in a fresh embedded PostgreSQL; then the first page and the deepest one are read in turns, through the
very verb the API uses, in a transaction of its own each. Only their ratio means anything; the budget is in the design.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psycopg
import sqlalchemy
import typer
from rich.console import Console
from sqlalchemy import Engine

from benchmarks import callers, many_orders
from models import order_list
from models.lifecycle import Status
from models.order_list import Filter, Position
from models.orders import Order
from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from ops.progress import Progress
from runtime import settings

DATABASE = "orders"
USERS = 100_000
LIMIT = 21
RATIO_MAX = 1.3
LISTS = {
    "all": Filter(None),
    "delivered": Filter(None, statuses=(Status.DELIVERED,)),
    "delivered or shipped": Filter(None, statuses=(Status.DELIVERED, Status.SHIPPED)),
    "with a sku": Filter(None, sku="POPULAR"),
    "one busy customer's": Filter(callers.user_id(1)),
}


@dataclass(frozen=True)
class Measured:
    """Medians, in milliseconds."""

    first_ms: float
    deep_ms: float

    @property
    def ratio(self) -> float:
        return self.deep_ms / self.first_ms


def measure(engine: Engine, narrowed: Filter, rounds: int) -> Measured:
    """The first page of a list, and the last full one; they take turns."""
    end = _page(engine, narrowed, None, 2 * LIMIT, newest_first=False)
    deepest = Position(end[-1].placed_at, end[-1].id)
    took: dict[Position | None, list[float]] = {None: [], deepest: []}
    for _ in range(rounds):
        for after, seconds in took.items():
            began = time.perf_counter()
            found = _page(engine, narrowed, after)
            seconds.append(time.perf_counter() - began)
            assert len(found) == LIMIT
    return Measured(*(statistics.median(seconds) * 1000 for seconds in took.values()))


def _page(
    engine: Engine, narrowed: Filter, after: Position | None, limit: int = LIMIT, *, newest_first: bool = True
) -> Sequence[Order]:
    with engine.begin() as connection:
        return order_list.page(connection, narrowed, after, limit, newest_first)


def main(
    *,
    orders: Annotated[int, typer.Option(min=1000, help="How many there are.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each page is read.")] = 300,
) -> None:
    """First page and deepest page of each kind of list; exit code 1 if the budget is missed."""
    progress, console = Progress(Console(stderr=True)), Console()
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as directory:
        postgres = Postgres(Path(directory) / "postgres", settings={"fsync": "off"})
        with engines.running(postgres):
            with progress.step(f"{orders:,} orders"):
                engine = _filled(postgres, orders)
            measured = {name: measure(engine, narrowed, rounds) for name, narrowed in LISTS.items()}
            engine.dispose()
    for name, each in measured.items():
        console.print(f"{name:<22} first {each.first_ms:6.2f} ms  deep {each.deep_ms:6.2f} ms  × {each.ratio:.2f}")
    raise typer.Exit(int(any(each.ratio > RATIO_MAX for each in measured.values())))


def _filled(postgres: Postgres, orders: int) -> Engine:
    postgres.ensure_database(DATABASE)
    url = postgres.url(DATABASE)
    needed = {"ENVIRONMENT": "local", "BROKER_URL": "redis://localhost", "SECRET_KEY": "x" * 64}
    migrate.run(settings.read(needed | {"DATABASE_URL": url}), lambda _: None)
    with psycopg.connect(url) as connection:
        many_orders.insert(connection, orders, USERS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE orders, order_items")
    return sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


if __name__ == "__main__":
    typer.run(main)
