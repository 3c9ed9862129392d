"""Where a request comes from: the peer itself, or what a listed proxy says it passed on (SECURITY S35).

Nothing else in this house reads a forwarded header. Nobody is believed who is not listed in `TRUSTED_PROXIES`, and of
a chain of addresses only the part that listed proxies wrote.
"""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import Scope

from runtime.settings import Networks

NOWHERE = "unknown"  # a peer without an address: a Unix socket
FORWARDED_FOR, FORWARDED_PROTO = b"x-forwarded-for", b"x-forwarded-proto"
HOPS_MAX = 16
# What one customer of a provider is given.
IPV6_PREFIX = 64
REMEMBERED_MAX = 10_000


def client_address(scope: Scope) -> str:
    """The address of whoever sent this request, as far as it can be known; in one spelling per address.

    Behind listed proxies it is the last address in `X-Forwarded-For` that is not a listed proxy's: each proxy appends
    whom it heard, and what stands before that anybody can have written.
    """
    address = _peer(scope)
    proxies = _proxies(scope)
    if not proxies or not _is_listed(address, proxies):
        return address
    for hop in reversed(_hops(scope)):
        spelled = _normal(hop)
        if spelled is None:  # Whatever it is, the proxy that wrote it is the last whose address we know.
            break
        address = spelled
        if not _is_listed(address, proxies):
            break
    return address


def came_by_tls(scope: Scope) -> bool:
    """Whether the client spoke TLS, to us or to the listed proxy that says so."""
    if scope["scheme"] == "https":
        return True
    proxies = _proxies(scope)
    return bool(proxies) and _is_listed(_peer(scope), proxies) and _protocols(scope)[-1:] == ["https"]


@lru_cache(REMEMBERED_MAX)
def network_of(address: str) -> str:
    """The address itself, or the /64 of an IPv6 address; what is no address is counted as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False).network_address)
    return address


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return (_normal(client[0]) if client else None) or NOWHERE


def _proxies(scope: Scope) -> Networks:
    networks: Networks = scope["app"].state.settings.trusted_proxies
    return networks


def _hops(scope: Scope) -> list[str]:
    return _listed(scope, FORWARDED_FOR)[-HOPS_MAX:]


def _protocols(scope: Scope) -> list[str]:
    return [each.lower() for each in _listed(scope, FORWARDED_PROTO)]


def _listed(scope: Scope, wanted: bytes) -> list[str]:
    """The members of a list that may have come in several headers (RFC 9110, section 5.3)."""
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [each.strip() for line in lines for each in line.split(",")]


@lru_cache(REMEMBERED_MAX)
def _normal(spelled: str) -> str | None:
    """An address in its one spelling, without a port; None if it is none. IPv4 inside of IPv6 is IPv4."""
    if spelled.startswith("["):
        spelled = spelled[1:].partition("]")[0]
    elif spelled.count(":") == 1:
        spelled = spelled.partition(":")[0]
    try:
        address = ip_address(spelled.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


@lru_cache(REMEMBERED_MAX)
def _is_listed(address: str, proxies: Networks) -> bool:
    return address != NOWHERE and any(ip_address(address) in network for network in proxies)
