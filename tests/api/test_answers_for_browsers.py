"""S33 and S34: what browsers are told with every answer, and which pages of others may read them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from api_client import ORDERS, Client, Shop
from api_server import Server, serving
from raw_http import ask, request
from world import World

from api.app import create_app
from models.identity.permissions import Role
from runtime import settings
from runtime.settings import SettingsError

OURS, OTHER = "https://shop.example", "https://evil.example"
YEAR = "max-age=31536000"
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
# A good answer and refusals of every maker: ours, the framework's, the edge's, the protocol's.
REQUESTS = {
    "good": request("GET", "/health/liveness"),
    "401": request("GET", ORDERS),
    "404": request("GET", "/nowhere"),
    "405": request("DELETE", "/health/liveness"),
    "400 of the edge": request("GET", "/health/liveness", host=None),
    "400 of the parser": b"nonsense\r\n\r\n",
    "413": request("POST", ORDERS, "Content-Length: 999999"),
    "414": request("GET", "/" + "x" * 5000),
    "preflight": request("OPTIONS", ORDERS, f"Origin: {OURS}", "Access-Control-Request-Method: POST"),
}


@contextmanager
def configured(world: World, **more: str) -> Iterator[Server]:
    with serving(create_app(settings.read({**os.environ, **more}))) as server:
        yield server


@pytest.fixture(scope="module")
def open_to_us() -> Iterator[Server]:
    """An API that a page from elsewhere may use."""
    with serving(create_app(settings.read({**os.environ, "CORS_ORIGINS": f"{OURS}, http://localhost:3000"}))) as server:
        yield server


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
def test_s33_every_answer_has_the_security_headers_and_none_names_the_server(open_to_us: Server, sent: bytes) -> None:
    answer = ask(open_to_us.address, sent)
    assert EVERYWHERE.items() <= answer.headers.items()
    assert "x-request-id" in answer.headers
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
def test_s33_with_the_setting_every_answer_asks_for_tls(sent: bytes) -> None:
    with serving(create_app(settings.read({**os.environ, "HSTS": "true", "CORS_ORIGINS": OURS}))) as server:
        assert ask(server.address, sent).headers["strict-transport-security"] == YEAR


@pytest.mark.parametrize(
    ("proxies", "proto", "asks"),
    [("127.0.0.1", "https", True), ("127.0.0.1", "http", False), ("10.0.0.0/8", "https", False), ("", "https", False)],
)
def test_s33_behind_a_listed_proxy_that_speaks_tls_answers_ask_for_it(
    world: World, proxies: str, proto: str, asks: bool
) -> None:
    with configured(world, TRUSTED_PROXIES=proxies) as server:
        answer = ask(server.address, request("GET", "/nowhere", f"X-Forwarded-Proto: {proto}"))
        assert ("strict-transport-security" in answer.headers) is asks


def cors(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def test_s34_by_default_no_page_from_elsewhere_is_told_anything(anonymous: Client, as_customer: Client) -> None:
    asked = {"Origin": OURS, "Access-Control-Request-Method": "POST"}
    assert cors(as_customer.get("/v1/users/me", headers={"Origin": OURS})) == {}
    refused = anonymous.options(ORDERS, headers=asked)
    assert (refused.status_code, cors(refused)) == (405, {})
    assert "vary" not in refused.headers


def test_s34_a_page_of_a_listed_origin_may_ask_and_read(open_to_us: Server, world: World) -> None:
    shop = Shop(world, open_to_us)
    customer = shop.client_as(Role.CUSTOMER)
    customer.headers["Origin"] = OURS
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    allowed = customer.options(ORDERS, headers=asked)
    assert allowed.status_code == 204
    assert cors(allowed)["access-control-allow-origin"] == OURS
    assert "POST" in cors(allowed)["access-control-allow-methods"]
    assert {"authorization", "idempotency-key", "content-type"} <= set(
        cors(allowed)["access-control-allow-headers"].lower().split(", ")
    )
    for response in (customer.order(), customer.order(sku="no such thing"), customer.get("/nowhere")):
        assert cors(response)["access-control-allow-origin"] == OURS
        assert "ETag" in cors(response)["access-control-expose-headers"]
        assert response.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in response.headers
    shop.close()


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        "null",
        "*",
        OURS.upper(),
        f"{OURS}:443",
        f"{OURS}.evil.example",
        f"{OURS}/",
        f"http{OURS[5:]}",
        f"{OURS}, {OTHER}",
        "",
    ],
)
def test_s34_a_page_of_any_other_origin_is_told_nothing(open_to_us: Server, world: World, origin: str) -> None:
    shop = Shop(world, open_to_us)
    anonymous = shop.client()
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for response in (
        anonymous.get("/health/liveness", headers={"Origin": origin}),
        anonymous.options(ORDERS, headers=asked),
    ):
        assert cors(response) == {}
        assert response.headers["vary"] == "Origin"
    assert anonymous.options(ORDERS, headers=asked).status_code == 405
    shop.close()


def test_s34_a_method_that_only_asks_whether_it_may_is_no_request(open_to_us: Server, world: World) -> None:
    """OPTIONS without the header that makes it a preflight is as unknown as before."""
    assert ask(open_to_us.address, request("OPTIONS", ORDERS, f"Origin: {OURS}")).status == 405


@pytest.mark.parametrize(
    "origins",
    ["*", f"{OURS}, *", "https://*.canary.example", "null", "canary.example", f"{OURS}/canary", "HTTPS://CANARY"],
)
def test_s34_what_is_no_exact_origin_is_refused(origins: str) -> None:
    with pytest.raises(SettingsError, match="CORS_ORIGINS") as error:
        settings.read({**os.environ, "CORS_ORIGINS": origins})
    assert "canary" not in str(error.value).lower()
