"""A real OpenID provider (npm's `oidc-provider`) on a port of its own, and a browser that signs in there."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from yarl import URL

from signalbox_local.console import find_node

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "tests" / "oidc_provider"
FOLDER: Final = ROOT / ".local" / "oidc-provider"
CLIENT_ID: Final = "signalbox"
CLIENT_SECRET: Final = "a secret: with % and +"
CALLBACK: Final = "/api/v1/auth/oidc/callback"
MAX_STEPS: Final = 20
_FORM: Final = re.compile(r'<form[^>]* action="([^"]+)"')
_ABORT: Final = re.compile(r'href="([^"]+/abort)"')


@dataclass(frozen=True)
class Provider:
    """A running provider."""

    issuer: str
    process: asyncio.subprocess.Process

    async def rotate_keys(self) -> None:
        """Sign with another key, and forget the one before."""
        async with aiohttp.ClientSession() as session, session.put(f"{self.issuer}/test/keys") as answer:
            assert answer.status == 204


def installed() -> str:
    """Node, with the provider's packages brought once from their lock file."""
    node, npm = find_node()
    stamp, lock = FOLDER / ".installed", (SOURCES / "package-lock.json").read_text()
    if not stamp.exists() or stamp.read_text() != lock:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, FOLDER / name)
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=FOLDER, check=True, timeout=240)
        stamp.write_text(lock)
    shutil.copy(SOURCES / "provider.mjs", FOLDER / "provider.mjs")
    return node


@asynccontextmanager
async def running_provider(redirect_uri: str, people: Mapping[str, Mapping[str, Any]]) -> AsyncGenerator[Provider]:
    """A provider that knows one client and these people; anybody else may sign in too."""
    wanted = {
        "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": [redirect_uri], "people": people,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        await asyncio.to_thread(installed), str(FOLDER / "provider.mjs"), json.dumps(wanted),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            issuer = (await process.stdout.readline()).decode().strip()
        assert issuer.startswith("http://127.0.0.1:"), "the provider did not start"
        yield Provider(issuer, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass(frozen=True)
class Browser:
    """A browser with cookies of its own. It follows redirects and fills in the provider's forms."""

    session: aiohttp.ClientSession

    async def begin(self, url: str) -> str:
        """Where the gateway sends the browser."""
        async with self.session.get(url, allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            return answer.headers["Location"]

    async def sign_in(self, url: str, login: str, *, agree: bool = True) -> str:
        """Sign in at the provider; the address of the gateway that it sends the browser back to."""
        method, data = "GET", None
        for _ in range(MAX_STEPS):
            async with self.session.request(method, URL(url, encoded=True), data=data, allow_redirects=False) as answer:
                text, location = await answer.text(), answer.headers.get("Location")
                if location is not None:
                    url, method, data = str(answer.url.join(URL(location, encoded=True))), "GET", None
                    if URL(url).path == CALLBACK:
                        return url
                    continue
            assert answer.status == 200, text
            if not agree:
                url, method, data = _found(_ABORT, text), "GET", None
                continue
            prompt = "login" if 'name="login"' in text else "consent"
            url, method = _found(_FORM, text), "POST"
            data = {"prompt": prompt, "login": login, "password": "any"} if prompt == "login" else {"prompt": prompt}
        raise AssertionError("the provider sends the browser in circles")

    async def come_back(self, url: str) -> tuple[int, str, str]:
        """Status, `Location` and body of the gateway's answer."""
        headers = {"Accept": "text/html,application/xhtml+xml"}
        async with self.session.get(URL(url, encoded=True), allow_redirects=False, headers=headers) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """A browser with no cookies."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(session)


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    assert found is not None, text
    return found[1]
