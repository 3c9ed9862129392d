"""The feed of all order events: each once, none missed, whoever writes meanwhile."""

import threading
from collections.abc import Iterator

from api_client import Client, Shop

from models import acceptance
from models.identity.permissions import Role
from runtime import database
from runtime.database import Role as DatabaseRole

FEED = "/v1/order-events"


def read(client: Client, cursor: str | None = None, limit: int = 7) -> tuple[list[tuple[str, int]], str]:
    """Everything there is now behind `cursor`, page by page, and the cursor to go on with."""
    seen: list[tuple[str, int]] = []
    while True:
        query = {"limit": str(limit)} | ({"after": cursor} if cursor else {})
        page = client.get(FEED, params=query).json()
        seen += [(event["order_id"], event["version"]) for event in page["data"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return seen, str(cursor)


def all_events(shop: Shop) -> list[tuple[str, int]]:
    return [(str(row[0]), row[1]) for row in shop.world.sql("SELECT order_id, version FROM order_events")]


def until_certain(shop: Shop, client: Client, cursor: str | None) -> Iterator[tuple[list[tuple[str, int]], str]]:
    """Read again and again: transactions of the neighbouring test process may still run, and hold the feed back."""
    for _ in range(200):
        seen, cursor = read(client, cursor)
        yield seen, cursor
        if not seen:
            threading.Event().wait(0.05)


def test_the_feed_tells_every_event_of_every_order_once(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    for _ in range(5):
        as_customer.order()
    shop.world.work_until_idle()
    told: list[tuple[str, int]] = []
    for seen, _ in until_certain(shop, as_staff, None):
        told += seen
        if len(told) >= 25:
            break
    assert sorted(told) == sorted(all_events(shop))


def test_an_event_that_commits_late_is_told_late_and_not_lost(
    shop: Shop, as_customer: Client, as_staff: Client
) -> None:
    user = as_customer.user
    with database.transaction(DatabaseRole.API) as slow:
        acceptance.accept(slow, [shop.world.request(user, {"BOWL": 1})], shop.world.terms)
        as_customer.order()
        told, cursor = read(as_staff)
        assert told == [], "an older transaction still runs: nothing younger is certain yet"
    for seen, _ in until_certain(shop, as_staff, cursor):
        told += seen
        if len(told) >= 2:
            break
    assert sorted(told) == sorted(all_events(shop))


def test_events_of_an_order_are_told_in_their_sequence(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    for _ in range(3):
        as_customer.order()
    shop.world.work_until_idle()
    told: list[tuple[str, int]] = []
    for seen, _ in until_certain(shop, as_staff, None):
        told += seen
        if len(told) >= 15:
            break
    for order_id in {order for order, _ in told}:
        assert [version for order, version in told if order == order_id] == [1, 2, 3, 4, 5]


def test_only_who_sees_all_orders_sees_the_feed(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    assert as_customer.get(FEED).status_code == 403
    assert as_analyst.get(FEED).status_code == 403
    assert shop.client_as(Role.ADMIN).get(FEED).status_code == 200


def test_a_position_is_good_for_its_reader_only(shop: Shop, as_staff: Client) -> None:
    cursor = as_staff.get(FEED).json()["next_cursor"]
    assert as_staff.get(FEED, params={"after": cursor}).status_code == 200
    other = shop.client_as(Role.STAFF)
    assert other.get(FEED, params={"after": cursor}).json()["code"] == "invalid_cursor"
