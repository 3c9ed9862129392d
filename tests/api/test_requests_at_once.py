"""Requests that are on their way at the same moment, on sockets of their own, to one API process's group commit."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest
from api_client import ORDERS, Client, Shop

ROUNDS = 200
SOCKETS = 12


@dataclass(frozen=True)
class Post:
    key: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    replayed: bool

    @property
    def code(self) -> str:
        """The refusal's code; "" where there is none."""
        return str(json.loads(self.body).get("code", ""))


class Sockets:
    """Connections that are kept, each for one request at a time."""

    def __init__(self, connections: Sequence[HTTPConnection], token: str) -> None:
        self._connections = connections
        self._token = token

    def post(self, *posts: Post) -> list[Reply]:
        """Send all of them before any answer is read."""
        used = self._connections[: len(posts)]
        for connection, post in zip(used, posts, strict=True):
            headers = {"Authorization": self._token, "Idempotency-Key": post.key, "Content-Type": "application/json"}
            connection.request("POST", ORDERS, json.dumps(post.body), headers)
        return [self._read(connection) for connection in used]

    @staticmethod
    def _read(connection: HTTPConnection) -> Reply:
        response = connection.getresponse()
        replayed = response.headers["Idempotent-Replayed"] == "true"
        return Reply(response.status, response.read(), replayed)


@pytest.fixture
def sockets(shop: Shop, as_customer: Client) -> Iterator[Sockets]:
    with ExitStack() as stack:
        made = [HTTPConnection(*shop.server.address, timeout=30) for _ in range(SOCKETS)]
        yield Sockets([stack.enter_context(closing(each)) for each in made], as_customer.headers["Authorization"])


def order(quantity: int = 1, sku: str = "BOWL", **more: str) -> dict[str, Any]:
    return {"items": [{"sku": sku, "quantity": quantity}], **more}


def count(shop: Shop, table: str) -> int:
    return int(shop.world.sql(f"SELECT count(*) FROM {table}")[0][0])


def assert_nothing_half_done(shop: Shop, orders: int) -> None:
    """As many orders as there should be, each with its one key, line, event and work."""
    assert [count(shop, table) for table in ("orders", "order_items", "order_events", "outbox")] == [orders] * 4
    keys = shop.world.sql("SELECT order_id FROM idempotency_keys WHERE status = 201")
    assert {row.order_id for row in keys} == {placed.id for placed in shop.world.orders()}
    assert len(keys) == orders


def test_one_key_on_four_sockets_at_once_makes_one_order_with_one_answer(shop: Shop, sockets: Sockets) -> None:
    for number in range(ROUNDS):
        replies = sockets.post(*[Post(f"same-{number}", order())] * 4)
        assert [reply.status for reply in replies] == [201] * 4
        assert len({reply.body for reply in replies}) == 1
        assert [reply.replayed for reply in replies].count(False) == 1
    assert_nothing_half_done(shop, ROUNDS)


def test_twins_inside_one_batch_and_across_the_writers_make_one_order(shop: Shop, sockets: Sockets) -> None:
    with shop.statements() as statements:
        for number in range(ROUNDS):
            twins = [Post(f"{twin}-{number}", order()) for twin in "abc"]
            replies = sockets.post(*twins * 4)  # two writers take the first ones; the rest are one batch, with twins
            assert {reply.status for reply in replies} == {201}
            for start in range(3):
                assert len({reply.body for reply in replies[start::3]}) == 1
                assert [reply.replayed for reply in replies[start::3]].count(False) == 1
    batches = sum("INSERT INTO idempotency_keys" in statement for statement in statements)
    assert batches < ROUNDS * SOCKETS / 2, "most requests shared a batch with others"
    assert_nothing_half_done(shop, 3 * ROUNDS)


def test_outcomes_of_every_kind_at_once_do_not_disturb_each_other(shop: Shop, sockets: Sockets) -> None:
    dice = random.Random(3)  # noqa: S311
    for number in range(ROUNDS):
        [earlier] = sockets.post(Post(f"earlier-{number}", order(client_reference=f"taken-{number}")))
        posts = {
            "new": Post(f"new-{number}", order()),
            "twin": Post(f"new-{number}", order()),
            "unknown": Post(f"unknown-{number}", order(sku="NO-SUCH-THING")),
            "one body": Post(f"bodies-{number}", order(2)),
            "other body": Post(f"bodies-{number}", order(3)),
            "one reference": Post(f"first-{number}", order(client_reference=f"wanted-{number}")),
            "same reference": Post(f"second-{number}", order(client_reference=f"wanted-{number}")),
            "replay": Post(f"earlier-{number}", order(client_reference=f"taken-{number}")),
            "reused": Post(f"earlier-{number}", order(9)),
            "taken": Post(f"late-{number}", order(client_reference=f"taken-{number}")),
        }
        names = list(posts)
        dice.shuffle(names)
        seen = dict(zip(names, sockets.post(*[posts[name] for name in names]), strict=True))
        assert (seen["replay"].status, seen["replay"].body, seen["replay"].replayed) == (201, earlier.body, True)
        assert (seen["new"].status, seen["new"].body) == (seen["twin"].status, seen["twin"].body)
        assert (seen["new"].status, {seen["new"].replayed, seen["twin"].replayed}) == (201, {True, False})
        assert [seen[name].code for name in ("unknown", "reused", "taken")] == [
            "unknown_product",
            "idempotency_key_reused",
            "duplicate_reference",
        ]
        assert {seen[name].code for name in ("one body", "other body")} == {"", "idempotency_key_reused"}
        assert {seen[name].code for name in ("one reference", "same reference")} == {"", "duplicate_reference"}
    assert_nothing_half_done(shop, 4 * ROUNDS)
