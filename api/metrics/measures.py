"""What an API process counts, and the one place where it does. Nothing here waits, asks or can fail a request."""

from bisect import bisect_left
from collections.abc import Mapping

from api.metrics.tallies import Tallies
from runtime.metrics import Form, Metric

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)
# Whoever makes up methods makes up no series.
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"

REQUESTS = Metric(
    "orders_http_request_duration_seconds",
    Form.HISTOGRAM,
    "from the head of a request to the end of its answer; streams and exports too",
    ("method", "route", "status"),
    SECONDS,
)
REFUSALS = Metric("orders_refusals_total", Form.COUNTER, "problem documents that were sent, by their code", ("code",))
PLACEMENTS = Metric(
    "orders_placements_total",
    Form.COUNTER,
    "answers to `POST /v1/orders`: accepted, refused (and stored with the key), or replayed",
    ("outcome",),
)
BATCH_SIZE = Metric(
    "orders_acceptor_batch_size", Form.HISTOGRAM, "orders that the acceptor wrote with one statement", (), SIZES
)
WAITING = Metric("orders_acceptor_waiting", Form.GAUGE, "orders that wait to be written, in all processes")
FULL = Metric("orders_acceptor_full_total", Form.COUNTER, "orders that were refused with 503 because too many waited")
HELD_UP = Metric(
    "orders_tries_held_up_total",
    Form.COUNTER,
    "logins, registrations, refreshes and password changes that were throttled, by the limit they met",
    ("limit",),
)
RATE_LIMITED = Metric(
    "orders_requests_rate_limited_total",
    Form.COUNTER,
    "requests beyond what a caller, or an address without a token, may send",
    ("by",),
)
LOOKED_AT = Metric(
    "orders_revocations_age_seconds",
    Form.GAUGE,
    "how long ago the process that knows least learned what was revoked; from 4 s on it believes no token",
)
PROCESSES = Metric("orders_api_processes", Form.GAUGE, "living API processes behind the address that was scraped")

METRICS = (REQUESTS, REFUSALS, PLACEMENTS, BATCH_SIZE, WAITING, FULL, HELD_UP, RATE_LIMITED, LOOKED_AT, PROCESSES)
ACCEPTED, REFUSED, REPLAYED = "accepted", "refused", "replayed"


class Measures:
    """Counts of this process, in shared memory. Called from its one event loop only."""

    def __init__(self, tallies: Tallies | None = None) -> None:
        self.tallies = tallies or Tallies()
        self._slots = self.tallies.slots
        self._requests: dict[tuple[str, str, int | None], int] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._batches = self._begin_histogram(BATCH_SIZE)
        self._waiting = self.tallies.begin(WAITING.name)
        self._full = self.tallies.begin(FULL.name)
        self._looked_at = self.tallies.begin(LOOKED_AT.name)
        self._outcomes: Mapping[str, int] = {
            outcome: self.tallies.begin(PLACEMENTS.name, (outcome,)) for outcome in (ACCEPTED, REFUSED, REPLAYED)
        }

    def answered(self, method: str, route: str, status: int | None, seconds: float) -> None:
        """A request has ended; without a status, its client had gone."""
        start = self._requests.get((method, route, status)) or self._begin_requests(method, route, status)
        self._observe(start, SECONDS, seconds)

    def refused(self, code: str) -> None:
        self._count(REFUSALS, code)

    def placed(self, outcome: str) -> None:
        self._slots[self._outcomes[outcome]] += 1

    def wrote(self, orders: int) -> None:
        """The acceptor begins to write a batch of so many."""
        self._observe(self._batches, SIZES, orders)

    def waiting(self, orders: int) -> None:
        self._slots[self._waiting] = orders

    def full(self) -> None:
        self._slots[self._full] += 1

    def held_up(self, limit: str) -> None:
        self._count(HELD_UP, limit)

    def rate_limited(self, by: str) -> None:
        self._count(RATE_LIMITED, by)

    def looked(self, at: float) -> None:
        """Revocations are known as of then, by the clock that all processes of a machine share."""
        self._slots[self._looked_at] = at

    def _observe(self, start: int, bounds: tuple[float, ...], value: float) -> None:
        slots = self._slots
        slots[start + bisect_left(bounds, value)] += 1
        slots[start + len(bounds) + 1] += value

    def _count(self, metric: Metric, label: str) -> None:
        key = (metric.name, label)
        if key not in self._counters:
            self._counters[key] = self.tallies.begin(metric.name, (label,))
        self._slots[self._counters[key]] += 1

    def _begin_requests(self, method: str, route: str, status: int | None) -> int:
        labels = (method if method in METHODS else OTHER, route, str(status or "none"))
        start = self._begin_histogram(REQUESTS, labels)
        self._requests[method, route, status] = start
        return start

    def _begin_histogram(self, metric: Metric, labels: tuple[str, ...] = ()) -> int:
        """A number for each bucket, one for what is beyond the last bound, and the sum."""
        return self.tallies.begin(metric.name, labels, len(metric.buckets) + 2)
