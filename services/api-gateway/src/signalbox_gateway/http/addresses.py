"""Where a call comes from. `X-Forwarded-For` counts only as far as proxies the operator trusts have written it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

Network = IPv4Network | IPv6Network
UNKNOWN: Final = "unknown"
_MAX_HOPS: Final = 20


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. Raises ValueError."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def client_address(scope: Any, trusted: Sequence[Network]) -> str:
    """The address of the caller: the last one that is not a trusted proxy."""
    peer = (scope.get("client") or ("", 0))[0]
    address = _parsed(peer)
    if address is None:
        return UNKNOWN
    if not trusted or not _is_in(address, trusted):
        return str(address)
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(forwarded).decode("latin-1").split(",")[-_MAX_HOPS:]
    for hop in reversed(hops):
        found = _parsed(hop.strip())
        if found is None:
            break
        address = found
        if not _is_in(found, trusted):
            break
    return str(address)


def limit_key(address: str) -> str:
    """What a limit counts as one caller: an IPv4 address, or the network of an IPv6 one."""
    parsed = _parsed(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip("[]"))
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_in(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted if network.version == address.version)
