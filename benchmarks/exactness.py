"""The exactness campaign: `python -m benchmarks.exactness --seconds 60`. Ten writers place, move and cancel orders.

They roll back, leave transactions open, and are killed with -9 twice a second; events are folded, days audited and
everything rebuilt meanwhile. Each exact answer is compared with a recount in the same snapshot, and at the end each
aggregate with a recount. Beside them a reader keeps a watermark as one would on a sequence (the highest id seen): how
many events it never sees tells whether this campaign could find a wrong watermark at all.
"""

import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from sqlalchemy import Connection, text

from benchmarks import exactness_writers
from models import products as catalogue
from models.analytics import daily_figures, drift, rebuild, rollups, user_revenue
from models.analytics.windows import Window
from models.identity import users
from models.identity.permissions import Role as UserRole
from models.invariants import examine, in_one_snapshot
from models.invariants.aggregates import INVARIANTS
from models.lifecycle import Policy, Status
from models.products import Product
from ops import migrate
from ops.local import engines
from ops.local.engines import Postgres
from ops.progress import Progress
from ops.rollups import each_in_a_transaction
from runtime import clock, database, settings
from runtime.database import Role

WRITERS, PROCESSES = 10, 2
SKU = "BOWL"
COMPARISONS_MIN = 200
KILL_EVERY_SECONDS = 0.5
END_SECONDS = 30
ALWAYS = Window(None, None)


@dataclass
class Found:
    """What the campaign has counted. `wrong`: what was compared and differed, for people to read."""

    comparisons: int = 0
    folds: int = 0
    audits: int = 0
    rebuilds: int = 0
    kills: int = 0
    orders: int = 0
    events: int = 0
    unseen_by_a_sequence: int = 0
    wrong: tuple[str, ...] = ()

    def note(self, wrong: str) -> None:
        self.wrong = (*self.wrong, wrong)

    @property
    def is_good(self) -> bool:
        return not self.wrong and self.unseen_by_a_sequence > 0


_BY_STATUS = text("SELECT status, count(*) FROM orders GROUP BY status")
_BY_DAY = text(
    "SELECT placed_on, currency, count(*), coalesce(sum(total_minor) FILTER (WHERE status IN"
    " ('confirmed', 'processing', 'shipped', 'delivered')), 0) FROM orders GROUP BY 1, 2 ORDER BY 1, 2"
)
_SPENT = text(
    "SELECT count(*), coalesce(sum(total_minor), 0) FROM orders WHERE user_id = :user"
    " AND status IN ('confirmed', 'processing', 'shipped', 'delivered')"
)
_TAKEN = text("SELECT count(*) FROM order_events WHERE to_status = 'delivered'")


def compare(connection: Connection, buyers: Sequence[UUID], found: Found) -> None:
    """Each kind of exact answer, and a recount of the raw orders, in one snapshot."""
    today = clock.business_day(clock.now(), settings.current().zone)
    last_days = Window(today.replace(day=1), today)
    _, statuses = daily_figures.status_counts(connection, ALWAYS, exact=True)
    _, days = daily_figures.orders_per_day(connection, ALWAYS, None, exact=True)
    _, spent = user_revenue.spending(connection, buyers[found.comparisons % len(buyers)], last_days, None, exact=True)
    _, taken = daily_figures.fulfilment(connection, ALWAYS, exact=True)
    recounted = {Status(status): orders for status, orders in connection.execute(_BY_STATUS)}
    of_days = [(day.day, day.currency, day.orders, day.revenue_minor) for day in days]
    [own] = connection.execute(_SPENT, {"user": buyers[found.comparisons % len(buyers)]})
    pairs = {
        "status counts": ({status: orders for status, orders in statuses.items() if orders}, recounted),
        "orders per day": (of_days, [tuple(row) for row in connection.execute(_BY_DAY)]),
        "spending": ((sum(d.orders for d in spent), sum(d.revenue_minor for d in spent)), tuple(own)),
        "delivered": (sum(sum(d.histogram.values()) for d in taken), connection.execute(_TAKEN).scalar_one()),
    }
    for name, (answered, counted) in pairs.items():
        found.comparisons += 1
        if answered != counted:
            found.note(f"{name}: {answered}, counted {counted}")


class Campaign:
    """What runs beside the writers, on the configured database, until it is over."""

    def __init__(self, buyers: Sequence[UUID]) -> None:
        self.found = Found()
        self._buyers = buyers
        self._over = threading.Event()
        self._seen, self._seen_events = "0", 0

    def run(self, seconds: float) -> Found:
        acts = (self._fold, self._audit, self._rebuild, self._read, self._read_as_from_a_sequence)
        threads = [threading.Thread(target=self._again_and_again, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        with _writers(self._buyers) as kill_one:
            ends_at = time.monotonic() + seconds
            while time.monotonic() < ends_at:
                time.sleep(KILL_EVERY_SECONDS)
                kill_one()
                self.found.kills += 1
        self._over.set()
        for thread in threads:
            thread.join()
        self._conclude()
        return self.found

    def _again_and_again(self, act: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                act()
            except Exception as error:  # a promise is broken, or a programme is: both end it
                self.found.note(f"{type(error).__name__}: {error}")
                return

    def _fold(self) -> None:
        with database.transaction() as connection:
            rollups.fold(connection)
        self.found.folds += 1
        self._over.wait(0.01)

    def _audit(self) -> None:
        with database.transaction() as connection:
            today = clock.business_day(clock.now(), settings.current().zone)
            for each in drift.audit(connection, [today]):
                self.found.note(f"drift: {each}")
        self.found.audits += 1
        self._over.wait(0.2)

    def _rebuild(self) -> None:
        with database.connect() as connection:
            for progress in rebuild.rebuild(each_in_a_transaction(connection), orders_per_bite=500):
                # What an ordinary fold would have done since is no correction: the rebuild is merely first.
                self.found.rebuilds += progress.corrected is not None
        self._over.wait(2)

    def _read(self) -> None:
        with in_one_snapshot(database.connect(Role.API)) as connection, connection.begin():
            compare(connection, self._buyers, self.found)
        self._over.wait(0.01)

    def _read_as_from_a_sequence(self) -> None:
        with database.transaction(Role.API) as connection:
            statement = "SELECT count(*), CAST(max(xid) AS text) FROM order_events WHERE xid > CAST(:seen AS xid8)"
            events, highest = connection.execute(text(statement), {"seen": self._seen}).one()
        self._seen, self._seen_events = highest or self._seen, self._seen_events + events
        self._over.wait(0.005)

    def _conclude(self) -> None:
        """Fold what is left, and hold every aggregate against a recount."""
        self._await_the_last_fold()
        self._read_as_from_a_sequence()
        with in_one_snapshot(database.connect(Role.API)) as connection, connection.begin():
            for invariant in INVARIANTS:
                finding = examine(connection, invariant, Policy())
                if not finding.is_clean:
                    self.found.note(f"{invariant.name}: {finding.violators}")
        with in_one_snapshot(database.connect(Role.API)) as connection, connection.begin():
            _, days = daily_figures.orders_per_day(connection, ALWAYS, None, exact=False)
            folded = [(day.day, day.currency, day.orders, day.revenue_minor) for day in days]
            if folded != (counted := [tuple(row) for row in connection.execute(_BY_DAY)]):
                self.found.note(f"folded: {folded}, counted {counted}")
            self.found.orders = connection.execute(text("SELECT count(*) FROM orders")).scalar_one()
            self.found.events = connection.execute(text("SELECT count(*) FROM order_events")).scalar_one()
        self.found.unseen_by_a_sequence = self.found.events - self._seen_events

    def _await_the_last_fold(self) -> None:
        """A killed writer's transaction may last a moment longer than the writer."""
        ends_at = time.monotonic() + END_SECONDS
        statement = text("SELECT count(*) FROM order_events WHERE xid >= (SELECT upto FROM rollup_state)")
        while True:
            self._fold()
            with database.transaction(Role.API) as connection:
                left = connection.execute(statement).scalar_one()
            if not left:
                return
            if time.monotonic() > ends_at:
                self.found.note(f"{left} events were never folded")
                return
            time.sleep(0.05)


@contextmanager
def _writers(buyers: Sequence[UUID]) -> Iterator[Callable[[], None]]:
    """All writers at work; the block is given what kills a process of them and starts another one.

    They are forked from one that has everything imported: who is killed was at work then, and not at starting.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", exactness_writers.__name__])
    seeds = iter(range(1_000_000))
    shares = [buyers[number::PROCESSES] for number in range(PROCESSES)]

    def start(share: Sequence[UUID]) -> ForkServerProcess:
        process = context.Process(target=exactness_writers.write_all, args=(share, SKU, next(seeds)), daemon=True)
        process.start()
        return process

    running = [start(share) for share in shares]

    def kill_one() -> None:
        number = random.randrange(PROCESSES)  # noqa: S311
        running[number].kill()
        running[number].join()
        running[number] = start(shares[number])

    try:
        yield kill_one
    finally:
        for each in running:
            each.kill()
            each.join()


def settle() -> list[UUID]:
    """One product and ten people in the configured database."""
    with database.transaction(Role.API) as connection:
        catalogue.put(connection, Product(SKU, "Bowl", 1000, "EUR", on_hand=1_000_000_000, reserved=0, active=True))
        emails = [f"buyer-{number}@example.com" for number in range(WRITERS)]
        return [users.register(connection, email, "x", UserRole.CUSTOMER, None).id for email in emails]


def main(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long they write.")] = 60.0,
) -> None:
    """Run the campaign in a database of its own; exit code 1 if anything differs, or too little was compared."""
    progress, console = Progress(Console(stderr=True)), Console()
    with tempfile.TemporaryDirectory(prefix="orders-bench-") as directory:
        postgres = Postgres(Path(directory) / "postgres", settings={"fsync": "off"})
        with engines.running(postgres):
            postgres.ensure_database("orders")
            own = {"ENVIRONMENT": "local", "BROKER_URL": "redis://nowhere", "SECRET_KEY": "x" * 64}
            os.environ |= own | {"DATABASE_URL": postgres.url("orders")}
            settings.current.cache_clear()
            migrate.run(settings.current(), lambda _: None)
            with progress.step(f"{WRITERS} writers, {seconds:g} s"):
                found = Campaign(settle()).run(seconds)
    console.print(found)
    raise typer.Exit(int(not found.is_good or found.comparisons < COMPARISONS_MIN))


if __name__ == "__main__":
    typer.run(main)
