"""Whose address a request has: forwarded headers are believed from listed proxies only."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from api.edge.client_address import came_by_tls, client_address
from runtime import settings
from runtime.settings import SettingsError

PROXY, OTHER_PROXY, CLIENT, LIAR = "10.0.0.1", "10.9.9.9", "203.0.113.7", "198.51.100.1"
GOOD = {"DATABASE_URL": "postgresql:///x", "BROKER_URL": "redis://localhost", "SECRET_KEY": "0123456789abcdef" * 2}


def scope(peer: str | None, *headers: tuple[str, str], proxies: str = "10.0.0.0/8") -> dict[str, Any]:
    listed = settings.read({**GOOD, "TRUSTED_PROXIES": proxies})
    return {
        "type": "http",
        "scheme": "http",
        "client": (peer, 40_000) if peer else None,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "app": SimpleNamespace(state=SimpleNamespace(settings=listed)),
    }


def forwarded(*lines: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", line) for line in lines]


@pytest.mark.parametrize(
    ("peer", "lines", "whose"),
    [
        (CLIENT, [], CLIENT),
        (CLIENT, [LIAR], CLIENT),
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}"], CLIENT),
        (PROXY, [f"{LIAR}, {CLIENT}, {OTHER_PROXY}"], CLIENT),
        (PROXY, [LIAR, CLIENT, OTHER_PROXY], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, ["unknown"], PROXY),
        (PROXY, [f"{CLIENT}, <script>, {OTHER_PROXY}"], OTHER_PROXY),
        (PROXY, [f"{CLIENT}:51234"], CLIENT),
        (PROXY, ["[2001:DB8::0001]:51234"], "2001:db8::1"),
        (PROXY, ["2001:db8:0::1"], "2001:db8::1"),
        (f"::ffff:{PROXY}", [f"::ffff:{CLIENT}"], CLIENT),
        (PROXY, [", ".join([OTHER_PROXY] * 1000)], OTHER_PROXY),
        (None, [CLIENT], "unknown"),
    ],
)
def test_s35_the_address_is_the_last_that_no_listed_proxy_has(peer: str | None, lines: list[str], whose: str) -> None:
    assert client_address(scope(peer, *forwarded(*lines))) == whose


def test_s35_by_default_nobody_is_believed() -> None:
    asked = scope(PROXY, *forwarded(LIAR), ("X-Forwarded-Proto", "https"), proxies="")
    assert client_address(asked) == PROXY
    assert not came_by_tls(asked)


@pytest.mark.parametrize(
    ("peer", "said", "is_tls"),
    [(PROXY, "https", True), (PROXY, "HTTPS", True), (PROXY, "https, http", False), (CLIENT, "https", False)],
)
def test_s35_tls_is_what_a_listed_proxy_says_last(peer: str, said: str, is_tls: bool) -> None:
    assert came_by_tls(scope(peer, ("X-Forwarded-Proto", said))) is is_tls


def test_proxies_are_listed_as_addresses_and_networks() -> None:
    listed = settings.read({**GOOD, "TRUSTED_PROXIES": " 10.0.0.0/8,2001:db8::1 , 192.0.2.7,"}).trusted_proxies
    assert listed == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"), ip_network("192.0.2.7"))


@pytest.mark.parametrize("listed", ["*", "proxy.canary", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33"])
def test_s35_what_is_no_list_of_proxies_is_refused(listed: str) -> None:
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES") as error:
        settings.read({**GOOD, "TRUSTED_PROXIES": listed})
    assert "canary" not in str(error.value)
