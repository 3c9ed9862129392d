"""Whose address a request counts for: in IPv6 a whole network, because that is what one customer is given."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX = 64
REMEMBERED_MAX = 10_000


@lru_cache(REMEMBERED_MAX)
def network(address: str) -> str:
    """The address itself, or the /64 of an IPv6 address; what is no address is counted as it is."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False).network_address)
    return address
