"""Transitions somebody asks for: permitted or not, legal or not, applied or refused."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from api_client import ORDERS, Client, Shop, assert_problem

from models import dead_letters
from models.advance import Step
from models.identifiers import uuid7
from models.identity.permissions import Role
from models.lifecycle import BY_ENDS, MOVES, Actor, Status, allowed_from
from runtime import database

WISH_MEMBERS = {
    "id",
    "order_id",
    "to",
    "state",
    "refusal",
    "reason",
    "tracking_number",
    "created_at",
    "resolved_at",
    "links",
}
TRACKED = {move.target for move in MOVES if move.tracking_required}
ROUTES: dict[Status, list[Status]] = {Status.PENDING: []}
while len(ROUTES) < len(Status):  # the shortest way to every status, by the moves there are
    ROUTES |= {m.target: [*ROUTES[m.source], m.target] for m in MOVES if m.source in ROUTES and m.target not in ROUTES}


def given(target: Status) -> dict[str, str]:
    """What a move there may need."""
    return {"reason": "because"} | ({"tracking_number": "T-1"} if target in TRACKED else {})


def placed_in(shop: Shop, client: Client, status: Status) -> str:
    """The path of a new order, brought to `status` by the system."""
    response = client.order()
    at, version = Status.PENDING, 1
    for target in ROUTES[status]:
        shop.world.move(
            Step(shop.world.orders()[-1].id, version, at, target, Actor.SYSTEM, reason="test", tracking_number="T")
        )
        at, version = target, version + 1
    path: str = response.headers["Location"]
    assert client.get(path).json()["status"] == status
    return path


def test_an_owner_cancels_and_sees_what_became_of_it(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    asked = as_customer.ask(path, Status.CANCELLED, reason="changed my mind")
    wish = asked.json()
    assert (asked.status_code, asked.headers["Location"]) == (202, f"{path}/transitions/{wish['id']}")
    assert wish.keys() == WISH_MEMBERS
    assert (wish["state"], wish["refusal"], wish["resolved_at"]) == ("pending", None, None)
    assert as_customer.get(asked.headers["Location"]).json() == wish
    shop.world.work("orders.transition")
    after = as_customer.get(asked.headers["Location"]).json()
    assert (after["state"], after["resolved_at"] is not None) == ("applied", True)
    assert as_customer.get(path).json()["status"] == "cancelled"
    event = as_customer.get(f"{path}/events").json()["data"][-1]
    assert (event["actor"], event["reason"]) == ("owner", "changed my mind")


@pytest.mark.parametrize("source", Status)
@pytest.mark.parametrize(("role", "actor"), [(Role.CUSTOMER, Actor.OWNER), (Role.STAFF, Actor.STAFF)])
def test_everybody_moves_orders_as_the_lifecycle_allows(shop: Shop, source: Status, role: Role, actor: Actor) -> None:
    client = shop.client_as(role)
    path = placed_in(shop, client, source)
    allowed = allowed_from(source, actor)
    for target in Status:
        response = client.ask(path, target, **given(target))
        if target is source:
            assert (response.status_code, response.json()["status"]) == (200, source)
        elif target in allowed:
            assert (response.status_code, response.json()["to"]) == (202, target)
        else:
            problem = assert_problem(response, 409, "invalid_transition")
            assert (problem["current"], problem["allowed"]) == (source, list(allowed))


@pytest.mark.parametrize("ends", [ends for ends, move in BY_ENDS.items() if Actor.STAFF in move.by], ids="-".join)
def test_what_staff_may_ask_for_a_worker_does(shop: Shop, as_staff: Client, ends: tuple[Status, Status]) -> None:
    source, target = ends
    path = placed_in(shop, as_staff, source)
    wish = as_staff.ask(path, target, **given(target))
    shop.world.work("orders.transition")
    assert as_staff.get(wish.headers["Location"]).json()["state"] == "applied"
    order = as_staff.get(path).json()
    assert (order["status"], order["version"]) == (target, len(ROUTES[source]) + 2)


@pytest.mark.parametrize(("source", "target"), [ends for ends, move in BY_ENDS.items() if move.reason_required])
def test_some_moves_need_a_reason(shop: Shop, as_staff: Client, source: Status, target: Status) -> None:
    assert_problem(as_staff.ask(placed_in(shop, as_staff, source), target), 422, "reason_required")


def test_shipping_needs_a_tracking_number_and_keeps_it(shop: Shop, as_staff: Client) -> None:
    path = placed_in(shop, as_staff, Status.PROCESSING)
    assert_problem(as_staff.ask(path, Status.SHIPPED), 422, "tracking_number_required")
    as_staff.ask(path, Status.SHIPPED, tracking_number="T-42")
    shop.world.work("orders.transition")
    assert as_staff.get(path).json()["tracking_number"] == "T-42"


@pytest.mark.parametrize("stale", ['"v2"', '"v0"', '"other"', "garbage", ""])
def test_a_wish_for_another_version_is_refused(as_customer: Client, stale: str) -> None:
    path = as_customer.order().headers["Location"]
    refused = as_customer.ask(path, Status.CANCELLED, {"If-Match": stale})
    assert_problem(refused, 412, "stale_version")


@pytest.mark.parametrize("match", ['"v1"', "*"])
def test_a_wish_for_the_version_there_is_is_accepted(as_customer: Client, match: str) -> None:
    path = as_customer.order().headers["Location"]
    assert as_customer.ask(path, Status.CANCELLED, {"If-Match": match}).status_code == 202


def test_a_wish_that_is_overtaken_is_refused_and_says_why(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    wish = as_customer.ask(path, Status.CANCELLED, {"If-Match": '"v1"'}).headers["Location"]
    shop.world.work("orders.confirm")
    shop.world.work("orders.transition")
    after = as_customer.get(wish).json()
    assert (after["state"], after["refusal"]) == ("refused", "stale_version")
    assert as_customer.get(path).json()["status"] == "confirmed"


def test_of_two_wishes_for_the_same_move_both_are_fulfilled_by_one_move(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    wishes = [as_customer.ask(path, Status.CANCELLED).headers["Location"] for _ in range(2)]
    shop.world.work("orders.transition")
    shop.world.work("orders.transition")
    assert [as_customer.get(wish).json()["state"] for wish in wishes] == ["applied", "applied"]
    assert as_customer.get(path).json()["version"] == 2


def test_who_would_rather_wait_gets_the_result(shop: Shop, as_staff: Client) -> None:
    path = placed_in(shop, as_staff, Status.FAILED)  # from where the pipeline moves nothing by itself
    with shop.working():
        response = as_staff.ask(path, Status.PENDING, {"Prefer": "wait=20"}, reason="mended")
    assert (response.status_code, response.json()["state"]) == (200, "applied")
    assert as_staff.get(f"{path}/events").json()["data"][-1]["from_status"] is not None


def test_who_waits_and_is_refused_hears_it_as_if_at_once(shop: Shop, as_customer: Client) -> None:
    path = as_customer.order().headers["Location"]
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(as_customer.ask, path, Status.CANCELLED, {"Prefer": "wait=20"})
        while not shop.world.sql("SELECT 1 FROM transition_requests"):
            time.sleep(0.01)
        for kind in ("orders.confirm", "orders.process", "orders.transition"):
            shop.world.work(kind)
        problem = assert_problem(waiting.result(), 409, "invalid_transition")
    assert (problem["current"], problem["allowed"]) == (Status.PROCESSING, [])


def test_who_waits_hears_that_the_pipeline_gave_up(shop: Shop, as_staff: Client) -> None:
    """And not that a failed order cannot become pending, with pending named among what it can become."""
    path = placed_in(shop, as_staff, Status.FAILED)
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(as_staff.ask, path, Status.PENDING, {"Prefer": "wait=20"}, reason="mended")
        while not shop.world.sql("SELECT 1 FROM transition_requests"):
            time.sleep(0.01)
        with database.transaction() as connection:
            rows = [row.id for row in shop.world.due() if row.kind == "orders.transition"]
            dead_letters.bury(connection, rows, "no way", None, shop.world.policy)
        problem = assert_problem(waiting.result(), 409, "attempts_exhausted")
    assert "allowed" not in problem
    assert as_staff.ask(path, Status.PENDING, reason="mended").status_code == 202, "it may be asked for again"


@pytest.mark.parametrize("tags", ['"v9", "v1"', "*", 'W/"v1"'])
def test_any_of_the_named_versions_will_do(shop: Shop, as_customer: Client, tags: str) -> None:
    path = as_customer.order().headers["Location"]
    assert as_customer.ask(path, Status.CANCELLED, {"If-Match": tags}).status_code == 202


def test_who_waits_in_vain_is_told_that_it_is_pending(as_customer: Client) -> None:
    response = as_customer.ask(as_customer.order().headers["Location"], Status.CANCELLED, {"Prefer": "wait=1"})
    assert (response.status_code, response.json()["state"]) == (202, "pending")


def without_id(response: httpx2.Response) -> dict[str, object]:
    return {**assert_problem(response, 404, "not_found"), "request_id": ""}


def test_nobody_moves_what_is_not_theirs(shop: Shop, as_customer: Client, as_analyst: Client) -> None:
    path = as_customer.order().headers["Location"]
    wish = as_customer.ask(path, Status.CANCELLED).headers["Location"]
    stranger = shop.client_as(Role.CUSTOMER)
    missing = without_id(stranger.ask(f"{ORDERS}/{uuid7()}", Status.CANCELLED))
    assert without_id(stranger.ask(path, Status.CANCELLED)) == missing
    assert without_id(stranger.get(wish)) == missing
    assert_problem(as_analyst.ask(path, Status.CANCELLED), 403, "forbidden")
    other = as_customer.order().headers["Location"]
    assert without_id(as_customer.get(wish.replace(path, other))) == missing


@pytest.mark.parametrize("body", [{}, {"to": None}, {"to": "gone"}, {"to": 7}, {"to": ["shipped"]}, {"to": "SHIPPED"}])
def test_a_wish_names_a_status(as_customer: Client, body: dict[str, object]) -> None:
    response = as_customer.post(f"{as_customer.order().headers['Location']}/transitions", json=body)
    assert assert_problem(response, 422, "invalid_request")["errors"][0]["pointer"] == "/to"


@pytest.mark.parametrize(
    "more", [{"reason": ""}, {"reason": "x" * 501}, {"tracking_number": "x" * 101}, {"actor": "system"}]
)
def test_a_wish_stays_within_bounds(as_customer: Client, more: dict[str, str]) -> None:
    response = as_customer.ask(as_customer.order().headers["Location"], Status.CANCELLED, **more)
    assert_problem(response, 422, "invalid_request")
