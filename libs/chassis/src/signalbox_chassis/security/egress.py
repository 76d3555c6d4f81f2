"""The address guard: which addresses a user can make the services call.

Addresses of this host, of private networks, of cloud metadata services and of protocols that wrap them are refused
unless the operator allows them. Three gates, each at the last moment it can be: `check_url` on every request and every
redirect; the resolver on every name, whose addresses are the very ones connected to, so a name cannot point elsewhere a
moment later; and no proxy from the environment, which would resolve names for us.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from ssl import SSLContext
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from pydantic import Field, field_validator
from yarl import URL

from signalbox_chassis.settings import ServiceSettings, allowed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SCHEMES: Final = frozenset({"http", "https"})
# The special-purpose registries of IANA (IPv4 and IPv6, 2025-10), and addresses of clouds that no registry lists.
# Everything outside of this table is public. A more specific row stands before the wider one.
SPECIAL_RANGES: Final = tuple(
    (ip_network(text), why)
    for text, why in (
        ("0.0.0.0/8", "this host itself"), ("127.0.0.0/8", "this host itself"),
        ("169.254.0.0/16", "link-local, where cloud metadata services are"),
        ("168.63.129.16/32", "a cloud's metadata service"), ("192.0.0.192/32", "a cloud's metadata service"),
        ("100.64.0.0/10", "a private or reserved address"), ("10.0.0.0/8", "a private or reserved address"),
        ("172.16.0.0/12", "a private or reserved address"), ("192.168.0.0/16", "a private or reserved address"),
        ("192.0.0.0/24", "a private or reserved address"), ("192.0.2.0/24", "an address of documentation"),
        ("192.31.196.0/24", "a private or reserved address"), ("192.52.193.0/24", "a private or reserved address"),
        ("192.88.99.0/24", "an IPv4 address in another form"), ("192.175.48.0/24", "a private or reserved address"),
        ("198.18.0.0/15", "a private or reserved address"), ("198.51.100.0/24", "an address of documentation"),
        ("203.0.113.0/24", "an address of documentation"), ("224.0.0.0/4", "a group of hosts"),
        ("240.0.0.0/4", "a private or reserved address"),
        ("::/128", "this host itself"), ("::1/128", "this host itself"),
        ("::/96", "an IPv4 address in another form"), ("::ffff:0:0/96", "an IPv4 address in another form"),
        ("::ffff:0:0:0/96", "an IPv4 address in another form"), ("64:ff9b::/96", "an IPv4 address in another form"),
        ("64:ff9b:1::/48", "an IPv4 address in another form"), ("100::/64", "a private or reserved address"),
        ("100:0:0:1::/64", "a private or reserved address"), ("2001::/32", "an IPv4 address in another form"),
        ("2001::/23", "a private or reserved address"), ("2001:db8::/32", "an address of documentation"),
        ("2002::/16", "an IPv4 address in another form"), ("2620:4f:8000::/48", "a private or reserved address"),
        ("3fff::/20", "an address of documentation"), ("5f00::/16", "a private or reserved address"),
        ("fc00::/7", "a private or reserved address"), ("fe80::/10", "link-local, where cloud metadata services are"),
        ("fec0::/10", "a private or reserved address"), ("ff00::/8", "a group of hosts"),
    )
)  # fmt: skip
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class AddressRefused(Exception):
    """This address is not called. `url` is without credentials and query; `reason` says why and what would allow it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} is not called: {reason}")
        self.url = url
        self.reason = reason


class EgressSettings(ServiceSettings):
    """For services that call what users name."""

    egress_allow: str = Field(
        default="", json_schema_extra=allowed("hosts, addresses and networks, each with or without `:port`")
    )
    """Internal addresses that users may name, separated by commas: `engine.internal`, `*.lake:8080`, `10.1.0.0/16`,
    `[fd00::/8]:443`. A name on the list may lead to any address. Everything public is allowed anyway."""

    @field_validator("egress_allow")
    @classmethod
    def _allow_can_be_read(cls, value: str) -> str:
        EgressGuard(value)
        return value

    def guard(self) -> "EgressGuard":
        return EgressGuard(self.egress_allow)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of the operator's list: a name (`*.` for all below it) or a network, on one port or on any."""

    name: str | None
    network: Network | None
    port: int | None

    def covers_name(self, host: str, port: int) -> bool:
        if self.name is None or self.port not in (None, port):
            return False
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else host == self.name

    def covers_address(self, address: Address, port: int) -> bool:
        if self.network is None or self.port not in (None, port):
            return False
        return address.version == self.network.version and address in self.network


class EgressGuard:
    """What may be called. `allow` is the operator's list, as text with commas or as its entries.

    Raises ValueError for an entry that cannot be read.
    """

    def __init__(self, allow: str | Sequence[str] = "") -> None:
        entries = allow.split(",") if isinstance(allow, str) else allow
        self._allowed = tuple(_entry(text.strip()) for text in entries if text.strip())

    def check_url(self, url: str | URL) -> None:
        """Refuse what can be refused without asking for the name's address. Raises `AddressRefused`."""
        try:
            parsed = URL(url)
            host, port = parsed.host, parsed.port
        except ValueError:
            raise AddressRefused(_safe(str(url)), "it is not an address of the form http://host:port/path") from None
        shown = _shown(parsed)
        if parsed.scheme not in SCHEMES:
            raise AddressRefused(shown, f"its scheme is {parsed.scheme or 'missing'!r}: http and https are allowed")
        if not host or port is None:
            raise AddressRefused(shown, "it names no host")
        if parsed.user is not None or parsed.password is not None:
            raise AddressRefused(shown, "it holds credentials: they belong in a secret")
        literal = _literal(host)
        if literal is not None:
            self._check_address(shown, literal, host, port)

    def check_address(self, host: str, address: str, port: int) -> None:
        """Refuse an address that this host name led to. Raises `AddressRefused`."""
        self._check_address(f"{host}:{port}", ip_address(address.partition("%")[0]), host, port)

    def session(self, **arguments: Any) -> aiohttp.ClientSession:
        """An HTTP session that can reach nothing else, by whatever address, name or redirect.

        `limit` and `ssl` go to its connector, all other arguments to `aiohttp.ClientSession`.
        """
        connector = _Connector(self, limit=arguments.pop("limit", 100), ssl=arguments.pop("ssl", True))
        return aiohttp.ClientSession(connector=connector, trust_env=False, **arguments)

    def _check_address(self, shown: str, address: Address, host: str, port: int) -> None:
        name = host.lower().rstrip(".")
        plain = _plain(address)
        if any(entry.covers_name(name, port) or entry.covers_address(plain, port) for entry in self._allowed):
            return
        why = _internal(address)
        if why:
            raise AddressRefused(
                shown, f"{address} is {why}; an operator can allow it ({_ALLOW} with {_suggested(plain, port)})"
            )


_ALLOW: Final = "SIGNALBOX_EGRESS_ALLOW"
_MAX_GOOD: Final = 1000


class _Resolver(AbstractResolver):
    """The system's resolver; answers that lead inside are refused, all of them if one does."""

    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard
        self._system = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            self._guard.check_address(host, one["host"], port)
        return found

    async def close(self) -> None:
        await self._system.close()


class _Connector(aiohttp.TCPConnector):
    """Checks the URL of every request, whether it needs a new connection or not."""

    def __init__(self, guard: EgressGuard, limit: int, ssl: SSLContext | bool) -> None:
        super().__init__(resolver=_Resolver(guard), limit=limit, ssl=ssl)
        self._guard = guard
        self._good: set[tuple[str, str]] = set()
        """Scheme and authority of URLs that were checked: nothing else of a URL is looked at."""

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """aiohttp calls this for each hop of a request; a literal address never reaches the resolver."""
        if req.proxy is not None:
            raise AddressRefused(_shown(req.url), "a proxy would look up its name for us")
        origin = req.url.scheme, req.url.raw_authority
        if origin not in self._good:
            self._guard.check_url(req.url)
            if len(self._good) < _MAX_GOOD:
                self._good.add(origin)
        return await super().connect(req, traces, timeout)


def _entry(text: str) -> Allowed:
    host, port = _split(text)
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"{text!r}: a port must be between 1 and 65535")
    number = int(port) if port else None
    try:
        return Allowed(None, ip_network(host, strict=False), number)
    except ValueError:
        name = host.lower().rstrip(".")
        if _NAME.fullmatch(name) and not re.fullmatch(r"[0-9.]+", name):
            return Allowed(name, None, number)
    raise ValueError(f"{text!r} is no host, address or network, with or without :port")


def _split(text: str) -> tuple[str, str | None]:
    """Host and port; an IPv6 address has a port only where it stands in brackets."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no address in brackets")
        return host, rest[1:] or None
    if text.count(":") > 1:
        return text, None
    host, _, port = text.partition(":")
    return host, port or None


def _literal(host: str) -> Address | None:
    """The address a host is without asking anybody, in short, octal and decimal forms too (`127.1`, `2130706433`)."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return IPv4Address("127.0.0.1")  # RFC 6761, section 6.3
    try:
        return ip_address(name.partition("%")[0])
    except ValueError:
        pass
    if re.fullmatch(r"[0-9a-fx.]+", name) and name[0].isdigit():
        try:
            return IPv4Address(socket.inet_aton(name))
        except OSError:
            return None
    return None


def _plain(address: Address) -> Address:
    """The IPv4 address inside a mapped one."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _internal(address: Address) -> str:
    """Why this address leads inside; empty for a public one."""
    plain = _plain(address)
    for network, why in SPECIAL_RANGES:
        if plain.version == network.version and plain in network:
            return why
    return "" if plain.is_global else "a private or reserved address"


def _suggested(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _shown(url: URL) -> str:
    """Scheme, host and path: credentials and queries may be secret."""
    return str(url.with_user(None).with_query(None).with_fragment(None))[:500] if url.host else _safe(str(url))


def _safe(text: str) -> str:
    """What may be shown of an address that cannot be taken apart: nothing before its last `@` or behind a `?`."""
    return text.rpartition("@")[2].partition("?")[0].partition("#")[0][:200]
