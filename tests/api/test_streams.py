"""An order's life as a stream of server-sent events."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx2
import pytest
from api_client import Client, Shop

from models.advance import Step
from models.lifecycle import Actor, Status
from runtime import shutdown

WHOLE_WAY = ["pending", "confirmed", "processing", "shipped", "delivered"]


@dataclass(frozen=True)
class Sent:
    id: int
    event: str


def read(response: httpx2.Response) -> Iterator[Sent]:
    """The events of a stream; comments and the advice how to reconnect are left out."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "id" in fields:
            yield Sent(int(fields["id"]), fields["event"])
            fields = {}


def stream_of(order: httpx2.Response) -> str:
    return str(order.json()["links"]["stream"])


def test_a_stream_tells_everything_from_the_beginning_and_ends_when_the_order_is_final(
    shop: Shop, as_customer: Client
) -> None:
    order = as_customer.order()
    with shop.working(), as_customer.stream("GET", stream_of(order)) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert list(read(response)) == [Sent(number, event) for number, event in enumerate(WHOLE_WAY, start=1)]


def test_a_client_that_loses_its_connection_three_times_sees_every_event_once_and_in_order(
    shop: Shop, as_customer: Client
) -> None:
    order = as_customer.order()
    seen: list[Sent] = []
    for connection in range(4):
        headers = {"Last-Event-ID": str(seen[-1].id)} if seen else {}
        with as_customer.stream("GET", stream_of(order), headers=headers) as response:
            for sent in read(response):
                seen.append(sent)
                if connection < 3:
                    break  # the connection is lost
                shop.world.work()
        shop.world.work()
    assert [sent.event for sent in seen] == WHOLE_WAY
    assert [sent.id for sent in seen] == [1, 2, 3, 4, 5]


def test_a_client_that_has_seen_the_end_is_told_not_to_come_back(shop: Shop, as_customer: Client) -> None:
    order = as_customer.order()
    shop.world.work_until_idle()
    assert as_customer.get(stream_of(order), headers={"Last-Event-ID": "5"}).status_code == 204
    assert as_customer.get(stream_of(order), headers={"Last-Event-ID": "4"}).status_code == 200


@pytest.mark.parametrize("garbage", ["", "-1", "x", "9" * 40, "1; drop"])
def test_a_last_event_id_that_is_none_of_ours_means_the_beginning(
    shop: Shop, as_customer: Client, garbage: str
) -> None:
    order = as_customer.order()
    shop.world.work_until_idle()
    with as_customer.stream("GET", stream_of(order), headers={"Last-Event-ID": garbage}) as response:
        assert len(list(read(response))) == 5


def test_a_stream_is_refused_before_it_opens(shop: Shop, as_customer: Client, anonymous: Client) -> None:
    order = as_customer.order()
    somebody_else = shop.client(shop.world.user())
    assert anonymous.get(stream_of(order)).status_code == 401
    assert somebody_else.get(stream_of(order)).status_code == 404
    assert as_customer.get(f"/v1/orders/{uuid4()}/stream").status_code == 404


def test_a_failed_order_keeps_its_stream_open_because_it_can_be_tried_again(shop: Shop, as_customer: Client) -> None:
    order = as_customer.order()
    order_id = UUID(order.json()["id"])
    shop.world.move(Step(order_id, 1, Status.PENDING, Status.FAILED))
    with as_customer.stream("GET", stream_of(order)) as response:
        events = read(response)
        assert [next(events).event, next(events).event] == ["pending", "failed"]
        shop.world.move(Step(order_id, 2, Status.FAILED, Status.PENDING, Actor.STAFF, reason="again"))
        assert next(events).event == "pending"


def test_an_id_from_the_future_neither_hides_events_nor_keeps_the_server_busy(shop: Shop, as_customer: Client) -> None:
    order = as_customer.order()
    with as_customer.stream("GET", stream_of(order), headers={"Last-Event-ID": "999999999"}) as response:
        events = read(response)
        with shop.working():
            assert [sent.event for sent in events] == WHOLE_WAY[1:]


def test_a_long_poll_answers_when_the_process_is_asked_to_stop(as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    threading.Timer(0.3, shutdown.begin).start()
    try:
        began = time.monotonic()
        answer = as_customer.get(path, headers={"If-None-Match": '"v1"', "Prefer": "wait=20"})
        assert answer.status_code == 304
        assert time.monotonic() - began < 5
    finally:
        shutdown.forget()


def test_an_open_stream_ends_when_the_process_is_asked_to_stop(as_customer: Client) -> None:
    order = as_customer.order()
    with as_customer.stream("GET", stream_of(order)) as response:
        events = read(response)
        assert next(events).event == "pending"
        shutdown.begin()
        try:
            assert list(events) == []
        finally:
            shutdown.forget()
