"""The guard's session on real sockets: names that lead inside, names that move, redirects, proxies."""

import socket
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from signalbox_chassis.security.egress import AddressRefused, EgressGuard


class Inside:
    """A server of this host that must not be reached, and one that may be."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(str(request.url))
        if "to" in request.query:
            raise web.HTTPFound(request.query["to"])
        return web.Response(text="inside")


@pytest_asyncio.fixture
async def inside() -> AsyncGenerator[Inside]:
    server, app = Inside(), web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


class Names:
    """Answers of a resolver, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)

        async def resolve(
            _resolver: ThreadedResolver, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return [
                {"hostname": host, "host": one, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
                for one in found
            ]

        monkeypatch.setattr(ThreadedResolver, "resolve", resolve)


async def get(guard: EgressGuard, url: str, **arguments: Any) -> str:
    timeout = aiohttp.ClientTimeout(total=5)
    async with guard.session(timeout=timeout) as session, session.get(url, **arguments) as answer:
        return await answer.text()


async def test_a_literal_address_of_this_host_is_refused_before_a_connection(inside: Inside) -> None:
    for host in ("127.0.0.1", "2130706433", "127.1", "[::ffff:127.0.0.1]"):
        with pytest.raises(AddressRefused):
            await get(EgressGuard(), f"http://{host}:{inside.port}/")
    assert inside.requests == []
    assert await get(EgressGuard(f"127.0.0.1:{inside.port}"), f"http://127.0.0.1:{inside.port}/") == "inside"


async def test_a_public_name_that_leads_inside_is_refused(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, ["127.0.0.1"])
    url = f"http://friendly.example:{inside.port}/"
    with pytest.raises(AddressRefused):
        await get(EgressGuard(), url)
    assert inside.requests == []
    assert await get(EgressGuard("friendly.example"), url) == "inside"


async def test_one_inside_address_among_public_ones_is_enough_to_refuse(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, ["1.1.1.1", "127.0.0.1"])
    with pytest.raises(AddressRefused):
        await get(EgressGuard(), f"http://mixed.example:{inside.port}/")
    assert inside.requests == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/", "http://169.254.169.254/", "http://[::1]/", "file:///etc/passwd"]
)
async def test_every_hop_of_a_redirect_is_checked(inside: Inside, target: str) -> None:
    guard = EgressGuard(f"127.0.0.1:{inside.port}")
    with pytest.raises((AddressRefused, aiohttp.NonHttpUrlRedirectClientError)):
        await get(guard, f"http://127.0.0.1:{inside.port}/", params={"to": target})
    assert len(inside.requests) == 1


async def test_a_proxy_is_used_neither_from_the_environment_nor_by_argument(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{inside.port}")
    with pytest.raises(AddressRefused, match="private"):
        await get(EgressGuard(), "http://10.0.0.1/")
    with pytest.raises(AddressRefused, match="proxy"):
        await get(EgressGuard(), "http://example.org/", proxy=f"http://127.0.0.1:{inside.port}")
    assert inside.requests == []
