"""The demo order: one order placed over HTTP and followed until it is delivered and counted in the analytics."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from ops.failures import LocalError
from ops.local.client import Answer, Client

DELIVERED_WITHIN_SECONDS = 30.0
COUNTED_WITHIN_SECONDS = 10.0
POLL_SECONDS = 0.05
FINAL = {"delivered", "cancelled", "expired", "failed"}


class JourneyError(LocalError):
    """The demo order did not travel as it should."""


@dataclass(frozen=True)
class Login:
    """The email and password of one demo user."""

    email: str
    password: str


def run(url: str, customer: Login, staff: Login, say: Callable[[str], None]) -> None:
    """Place and follow the order, saying one line per event.

    Raises:
        JourneyError: what did not happen, and the last thing that did.
    """
    shop, desk = _log_in(url, customer), _log_in(url, staff)
    counted_before = _counted(desk)
    order = _place(shop)
    say(f"order {order['number']} placed: {_money(order)}")
    _await_delivery(shop, order)
    for event in _expect(shop.get(f"/v1/orders/{order['id']}/events"), 200)["data"]:
        say(_line(event, order["placed_at"]))
    seconds = _await_count(desk, counted_before)
    say(f"counted in the orders per day after {seconds:.1f} s")


def _log_in(url: str, login: Login) -> Client:
    answer = Client(url).post("/v1/auth/login", {"email": login.email, "password": login.password})
    return Client(url, _expect(answer, 200)["access_token"])


def _place(shop: Client) -> Any:
    products = _expect(shop.get("/v1/products?limit=100"), 200)["data"]
    wanted = [product["sku"] for product in products if product["active"] and product["available"] > 0][:2]
    body = {"items": [{"sku": sku, "quantity": number} for number, sku in enumerate(wanted, 1)]}
    return _expect(shop.post("/v1/orders", body, {"Idempotency-Key": f"demo-{uuid4()}"}), 201)


def _await_delivery(shop: Client, order: Any) -> None:
    deadline = time.monotonic() + DELIVERED_WITHIN_SECONDS
    while (status := _expect(shop.get(f"/v1/orders/{order['id']}"), 200)["status"]) != "delivered":
        if status in FINAL:
            raise JourneyError(f"the demo order {order['number']} ended as {status} instead of delivered.")
        if time.monotonic() > deadline:
            raise JourneyError(
                f"the demo order {order['number']} is still {status} after {DELIVERED_WITHIN_SECONDS:.0f} s. "
                f"Is AUTOPILOT switched off, or CONFIRMATION set to manual?"
            )
        time.sleep(POLL_SECONDS)


def _await_count(desk: Client, before: int) -> float:
    started = time.monotonic()
    while _counted(desk) <= before:
        if time.monotonic() > started + COUNTED_WITHIN_SECONDS:
            raise JourneyError(f"the demo order is not in the orders per day after {COUNTED_WITHIN_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - started


def _counted(desk: Client) -> int:
    """Orders of yesterday and today, so that neither midnight nor the reporting time zone matters."""
    today = datetime.now(UTC).date()
    span = f"from={today - timedelta(days=1)}&to={today + timedelta(days=1)}"
    days = _expect(desk.get(f"/v1/analytics/orders-per-day?{span}"), 200)["data"]
    return sum(day["orders"] for day in days)


def _expect(answer: Answer, status: int) -> Any:
    if answer.status != status:
        body = answer.body if isinstance(answer.body, dict) else {}
        told = " ".join(str(body[part]) for part in ("code", "detail") if body.get(part)) or "no reason given"
        raise JourneyError(f"the demo order stopped: the API answered {answer.status or 'nothing'} ({told}).")
    return answer.body


def _line(event: Any, placed_at: str) -> str:
    after = (datetime.fromisoformat(event["at"]) - datetime.fromisoformat(placed_at)).total_seconds()
    who = event.get("actor") or "system"
    return f"{max(after, 0.0):7.3f} s  {event['to_status']:<11} by {who}" + (
        f" ({event['reason']})" if event.get("reason") else ""
    )


def _money(order: Any) -> str:
    return f"{order['total_minor']} minor units of {order['currency']}, {len(order['items'])} lines"
