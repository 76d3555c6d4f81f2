"""The addresses a definition makes us call. The guard checks them when it is saved, and again at each use."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from yarl import URL

from signalbox_chassis.security.egress import AddressRefused, EgressGuard
from signalbox_contracts.definitions.channel import Channel, WebhookDestination
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.problems import InvalidDefinition, Problem

RESOLVE_SECONDS: Final = 5.0


async def check_addresses(definition: Any, guard: EgressGuard) -> None:
    """Refuse an address that leads inside or holds credentials. Raises `InvalidDefinition`.

    A name that does not resolve now is taken: it may resolve when it is used, and is checked then.
    """
    problems: list[Problem] = []
    for field, url in _addresses(definition):
        try:
            await check_url(url, guard)
        except AddressRefused as refused:
            problems.append(Problem(field, None, refused.reason))
    if problems:
        raise InvalidDefinition(tuple(problems))


async def check_url(url: str, guard: EgressGuard) -> None:
    """Refuse an address that leads inside. Raises `AddressRefused`."""
    guard.check_url(url)
    parsed = URL(url)
    host, port = parsed.host or "", parsed.port or 0
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
    except (OSError, TimeoutError):
        return
    for _, _, _, _, address in found:
        guard.check_address(host, str(address[0]), port)


def _addresses(definition: Any) -> Iterator[tuple[str, str]]:
    match definition:
        case Engine():
            for field in ("url", "master_url", "web_url", "webhdfs_url"):
                if isinstance(url := getattr(definition.connection, field, None), str):
                    yield f"connection.{field}", url.replace("spark://", "http://", 1)
        case Channel(destination=WebhookDestination() as destination):
            yield "destination.url", destination.url
        case _:
            return
