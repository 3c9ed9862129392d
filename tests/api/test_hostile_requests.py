"""A corpus of hostile requests over a bare socket: no 5xx, no hang, no echo, and no harm to what comes after."""

import json
from contextlib import suppress

import pytest
from api_client import PROBLEM_MEMBERS, Client, Shop
from hostile import CANARY
from hostile_requests import CORPUS, TOKEN
from raw_http import HungUp, connected, request


def test_s26_s31_the_corpus_is_as_large_as_was_asked_for() -> None:
    assert len(CORPUS) >= 150
    assert len({sent for sent, _ in CORPUS.values()}) == len(CORPUS), "each of them once"


@pytest.mark.parametrize("name", CORPUS)
def test_s26_s31_a_hostile_request_is_answered_for_what_it_is(shop: Shop, as_customer: Client, name: str) -> None:
    token = as_customer.headers["Authorization"].removeprefix("Bearer ")
    sent, expected = CORPUS[name]
    is_head = sent.startswith(b"HEAD")
    with connected(shop.server.address, patience_seconds=5) as wire:
        with suppress(ConnectionError):  # It may have been refused before it was all there.
            wire.send(sent.replace(TOKEN.encode(), token.encode()))
        answer = wire.answer(to_head=is_head)
    told = repr((answer.headers, answer.body))
    assert answer.status in expected, told
    assert CANARY.lower() not in told.lower()
    assert "x-request-id" in answer.headers
    if answer.status >= 400 and not is_head:
        problem = json.loads(answer.body)
        assert problem.keys() >= PROBLEM_MEMBERS
        assert problem["status"] == answer.status


@pytest.mark.parametrize("name", CORPUS)
def test_s27_what_comes_behind_a_hostile_request_is_read_for_itself_or_not_at_all(shop: Shop, name: str) -> None:
    """Else it could be made a part of somebody else's request (request smuggling)."""
    sent, _ = CORPUS[name]
    honest = request("GET", "/health/liveness", "X-Request-ID: the-honest-request", "Connection: close")
    last = None
    with connected(shop.server.address, patience_seconds=5) as wire, suppress(HungUp, ConnectionError):
        wire.send(sent)
        wire.send(honest)
        while True:
            last = wire.answer(to_head=last is None and sent.startswith(b"HEAD"))
    assert last is not None
    if last.headers["x-request-id"] == "the-honest-request":
        assert last.status == 200
    else:
        assert last.headers["connection"] == "close"
