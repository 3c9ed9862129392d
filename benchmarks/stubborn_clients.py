"""Clients that do not give up: each order is asked for with one key, again and again, until it is acknowledged.

Lost connections and answers of 503, 409 or 429 are what the contract tells a client to try again after. What was
acknowledged is remembered to the byte.
"""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

from ops import seed

TRY_AGAIN = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
# Every so many orders, their customer thinks better of it. Most are too late.
CANCELLED_ONE_IN = 25
LINES_MAX = 3


@dataclass(frozen=True)
class Acknowledged:
    """An order as its client knows it."""

    key: str
    request: bytes
    answer: bytes

    @property
    def order_id(self) -> str:
        return str(json.loads(self.answer)["id"])


@dataclass
class Story:
    """What all clients saw together."""

    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    tried_again: int = 0
    cancellations: Counter[int] = field(default_factory=Counter)


class Client:
    """One connection, made anew whenever it is lost."""

    def __init__(self, url: str, token: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Status 0 where the connection was lost."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request("POST", path, body, self._headers | named)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, b""

    def insist(self, key: str, body: bytes, on_retry: Callable[[], None] = lambda: None) -> tuple[int, bytes]:
        """Place an order, however often that takes; the last answer if it was never acknowledged."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, answer = self.post("/v1/orders", body, Idempotency_Key=key)
            if (status and status not in TRY_AGAIN) or time.monotonic() > deadline:
                return status, answer
            on_retry()
            time.sleep(PAUSE_SECONDS)


def place(
    url: str, token: str, orders: int, seconds: float, connections: int, seed_number: int, done: Callable[[int], None]
) -> Story:
    """Place `orders` orders, spread evenly over `seconds` (or for as long as it takes); `done` is told how many are."""
    story, lock = Story(), threading.Lock()
    tickets = _tickets(orders, seconds, seed_number)

    def shop() -> None:
        with closing(Client(url, token)) as client:
            while True:
                with lock:
                    ticket = next(tickets, None)
                if ticket is None:
                    return
                _place_one(client, ticket, story, lock)
                done(len(story.acknowledged))

    with ThreadPoolExecutor(connections) as threads:
        for shopper in [threads.submit(shop) for _ in range(connections)]:
            shopper.result()
    return story


def replays_that_differ(url: str, token: str, sample: Sequence[Acknowledged]) -> int:
    """Ask again for orders that were acknowledged: how many answers are not the same bytes."""
    with closing(Client(url, token)) as client:
        return sum(client.insist(each.key, each.request) != (HTTPStatus.CREATED, each.answer) for each in sample)


@dataclass(frozen=True)
class _Ticket:
    number: int
    at: float
    body: bytes


def _tickets(orders: int, seconds: float, seed_number: int) -> Iterator[_Ticket]:
    chosen = random.Random(seed_number)  # noqa: S311 - which products are bought is no secret
    skus = [sku for sku, *_ in seed.CATALOGUE]
    began = time.monotonic()
    for number in range(orders):
        bought = chosen.sample(skus, chosen.randint(1, LINES_MAX))
        body = json.dumps({"items": [{"sku": sku, "quantity": chosen.randint(1, 3)} for sku in bought]})
        yield _Ticket(number, began + number * seconds / orders, body.encode())


def _place_one(client: Client, ticket: _Ticket, story: Story, lock: threading.Lock) -> None:
    time.sleep(max(ticket.at - time.monotonic(), 0))
    key = str(uuid4())

    def tried_again() -> None:
        with lock:
            story.tried_again += 1

    status, answer = client.insist(key, ticket.body, tried_again)
    placed = Acknowledged(key, ticket.body, answer)
    with lock:
        if status == HTTPStatus.CREATED:
            story.acknowledged.append(placed)
        elif status and status not in TRY_AGAIN:
            story.refused[status] += 1
        else:
            story.unanswered += 1
    if status == HTTPStatus.CREATED and ticket.number % CANCELLED_ONE_IN == 0:
        with suppress(OSError):
            asked, _ = client.post(f"/v1/orders/{placed.order_id}/transitions", b'{"to": "cancelled"}')
            with lock:
                story.cancellations[asked] += 1
