"""`GET /metrics`: who is shown it, what it counts, and what it never tells."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from api_client import Client, Shop, assert_problem
from api_server import Server, serving
from at_once import at_once
from promql import Vector, scrape
from running_system import eventually
from world import World

from api.app import create_app
from api.metrics import exposition
from api.metrics.measures import Measures
from api.metrics.tallies import Tallies
from models import vitals
from runtime import settings
from runtime.settings import Environment

TOKEN = "0d1e5c7b" * 5
COUNT = "orders_http_request_duration_seconds_count"
POST_ORDERS = {"method": "POST", "route": "/v1/orders"}


def read(client: httpx2.Client) -> dict[str, Vector]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return dict(scrape(0, answer.text).samples)


def value(samples: dict[str, Vector], name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(each for found, each in samples.get(name, {}).items() if wanted <= found)


def grown(before: dict[str, Vector], after: dict[str, Vector], name: str, **labels: str) -> float:
    return value(after, name, **labels) - value(before, name, **labels)


def read_behind(client: httpx2.Client, requests: int, before: dict[str, Vector]) -> dict[str, Vector]:
    """What is counted when so many requests have ended: a request ends a moment after its answer was read."""
    after: list[dict[str, Vector]] = []

    def have_ended() -> bool:
        after[:] = [read(client)]
        return grown(before, after[0], COUNT) - value(after[0], COUNT, route="/metrics") >= requests - value(
            before, COUNT, route="/metrics"
        )

    eventually(have_ended, f"{requests} requests")
    return after[0]


def test_requests_are_counted_by_route_method_and_status(as_customer: Client) -> None:
    before = read(as_customer)
    order = as_customer.order().json()
    for _ in range(3):
        as_customer.get(f"/v1/orders/{order['id']}")
    as_customer.get("/v1/orders/none")
    after = read_behind(as_customer, 5, before)
    assert grown(before, after, COUNT, **POST_ORDERS, status="201") == 1
    assert grown(before, after, COUNT, route="/v1/orders/{order_id}", status="200") == 3
    assert grown(before, after, COUNT, route="/v1/orders/{order_id}", status="404") == 1
    buckets = {
        dict(labels)["le"]: each
        for labels, each in after["orders_http_request_duration_seconds_bucket"].items()
        if {*POST_ORDERS.items(), ("status", "201")} <= labels
    }
    assert sorted(buckets.values()) == list(buckets.values())
    assert buckets["+Inf"] == value(after, COUNT, **POST_ORDERS, status="201")


def test_placements_batches_and_refusals_are_counted(as_customer: Client, anonymous: Client) -> None:
    before = read(as_customer)
    for key, sku in (("one", "BOWL"), ("one", "BOWL"), ("two", "NONE"), ("two", "NONE"), ("one", "NONE")):
        as_customer.order(sku, key=key)
    anonymous.get("/v1/users/me")
    as_customer.get("/nowhere")
    as_customer.put("/v1/orders")
    after = read_behind(as_customer, 8, before)
    for outcome, orders in (("accepted", 1), ("replayed", 2), ("refused", 1)):
        assert grown(before, after, "orders_placements_total", outcome=outcome) == orders
    codes = ("unknown_product", "idempotency_key_reused", "invalid_token", "not_found", "method_not_allowed")
    for code in codes:
        assert grown(before, after, "orders_refusals_total", code=code) == 1, code
    assert grown(before, after, "orders_acceptor_batch_size_sum") == 5
    assert value(after, "orders_acceptor_waiting") == 0


def test_orders_of_one_moment_are_batches_of_several(shop: Shop, as_customer: Client) -> None:
    before = read(as_customer)
    answers = at_once(*[as_customer.order] * 40)
    assert {answer.status_code for answer in answers} == {201}
    after = read_behind(as_customer, 40, before)
    assert grown(before, after, "orders_acceptor_batch_size_sum") == 40
    assert grown(before, after, "orders_acceptor_batch_size_count") < 40


def test_made_up_methods_and_paths_make_no_series(as_customer: Client) -> None:
    before = read(as_customer)
    for number in range(20):
        as_customer.request("PROPFIND" if number % 2 else "REPORT", f"/made-up-{number}")
    after = read_behind(as_customer, 20, before)
    assert grown(before, after, COUNT, method="other", route="none") == 20
    assert len(after[COUNT]) - len(before[COUNT]) <= 2


def test_every_part_that_is_read_has_a_series_that_says_so(anonymous: Client) -> None:
    samples = read(anonymous)
    assert samples["orders_vitals_read"] == {frozenset({("part", part)}): 1 for part in vitals.PARTS}
    assert samples["orders_workers"] and samples["orders_database_connections"], "what was read is there"


@pytest.mark.parametrize("path", ["/metrics?a=1", "/metrics/x"])
def test_it_is_a_route_like_others(anonymous: Client, path: str) -> None:
    assert anonymous.get(path).status_code in (400, 404)


def test_s39_it_names_no_person_and_no_order(shop: Shop, as_customer: Client, as_staff: Client) -> None:
    order = as_customer.order(client_reference="canary-reference", metadata={"note": "canary-note"}).json()
    as_customer.get(f"/v1/orders/{order['id']}")
    as_customer.post("/v1/auth/login", json={"email": as_customer.user.email, "password": "canary-password"})
    as_staff.get(f"/v1/orders?user_id={as_customer.user.id}")
    told = as_customer.get("/metrics").text
    for secret in (order["id"], order["number"], str(as_customer.user.id), str(as_customer.user.email), "canary"):
        assert secret not in told
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|@|req_", told)


@pytest.fixture
def guarded(world: World) -> Iterator[Server]:
    configured = settings.read({**os.environ, "METRICS_TOKEN": TOKEN})
    with serving(create_app(configured)) as running:
        yield running


def test_s20_with_a_token_it_is_shown_to_who_shows_the_token(shop: Shop, guarded: Server, as_admin: Client) -> None:
    with httpx2.Client(base_url=guarded.url, trust_env=False) as client:
        for token in (None, TOKEN[:-1], TOKEN + "0", as_admin.headers["Authorization"].split()[1], "ä" * 32):
            headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
            assert_problem(client.get("/metrics", headers=headers), 401, "invalid_token")
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert_problem(client.get("/v1/users/me", headers={"Authorization": f"Bearer {TOKEN}"}), 401)


def test_s20_in_production_without_a_token_it_is_not_there(world: World) -> None:
    deployed = settings.current().model_copy(update={"environment": Environment.PRODUCTION})
    with serving(create_app(deployed)) as running, httpx2.Client(base_url=running.url, trust_env=False) as client:
        assert_problem(client.get("/metrics"), 404, "not_found")


def test_what_a_process_counted_stays_counted_when_it_is_gone(tmp_path: Path) -> None:
    first, second = Measures(Tallies(tmp_path)), Measures(Tallies(tmp_path))
    for _ in range(3):
        first.refused("not_found")
    second.refused("not_found")
    second.waiting(7)
    assert told(first) == {"orders_acceptor_waiting": 7, "orders_api_processes": 2, "orders_refusals_total": 4}
    second.tallies.close()
    assert told(first) == {"orders_acceptor_waiting": 0, "orders_api_processes": 1, "orders_refusals_total": 4}


def told(by: Measures) -> dict[str, float]:
    names = ("orders_acceptor_waiting", "orders_api_processes", "orders_refusals_total")
    samples = dict(scrape(0, exposition.spell(by, []).decode()).samples)
    return {name: value(samples, name) for name in names}


def test_counts_find_no_place_once_there_is_none_and_nothing_else_suffers(tmp_path: Path) -> None:
    full = Measures(Tallies(tmp_path))
    for number in range(2_000):
        full.answered("GET", f"/{number}", 200, 0.1)
    full.refused("not_found")
    full.placed("accepted")
    samples = dict(scrape(0, exposition.spell(full, []).decode()).samples)
    assert value(samples, "orders_placements_total") == 1
    assert 1_000 < len(samples[COUNT]) < 2_000
    assert set(samples[COUNT].values()) == {1.0}
