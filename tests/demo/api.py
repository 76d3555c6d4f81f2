"""The HTTP API as a program uses it, with the administrator's token; answers are checked, waits have an end."""

import asyncio
import io
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp


class Unexpected(Exception):
    """The API answered something else than what the caller counts on."""

    def __init__(self, content: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `body` is empty where it was no JSON object."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    text: str


@dataclass
class Api:
    """`session` carries the token."""

    url: str
    session: aiohttp.ClientSession

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Whatever the API says."""
        more: dict[str, Any] = {"headers": dict(headers or {})}
        if body is not None or data is not None:
            # as a stream: aiohttp warns of large bodies in one piece
            more["data"] = io.BytesIO(json.dumps(body).encode() if data is None else data)
            more["headers"].setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.url + (path if path.startswith("/api/") else f"/api/v1{path}"), **more
        ) as answer:
            text = await answer.text()
            try:
                content: Any = json.loads(text) if text else {}
            except ValueError:
                content = {}
            found = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
            return Answer(answer.status, answer.headers, found, text)

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """What it answers; raises `Unexpected` for anything but success."""
        answer = await self.request(method, path, body, **more)
        if answer.status >= 300:
            content = f"{method} {path}: {answer.status} {answer.text[:2000]}"
            raise Unexpected(content, answer.status, answer.body)
        return answer.body

    async def define(self, kind: str, definition: Mapping[str, Any]) -> dict[str, Any]:
        """Create it, or bring the one of this id up to date."""
        answer = await self.request("POST", f"/{kind}", dict(definition))
        if answer.status == 409:
            return await self.ask("PUT", f"/{kind}/{definition['id']}", dict(definition))
        if answer.status >= 300:
            raise Unexpected(f"POST /{kind}: {answer.status} {answer.text[:2000]}", answer.status, answer.body)
        return answer.body

    async def ended(self, plan: str, *, seconds: float) -> dict[str, Any]:
        """The plan once it is over; raises `TimeoutError`. A gateway that is away for a moment is waited for."""
        give_up_at = time.monotonic() + seconds
        shown: dict[str, Any] = {}
        while time.monotonic() < give_up_at:
            try:
                shown = await self.ask("GET", f"/plans/{plan}?wait=5s&until=end")
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if shown.get("ended_at") is not None:
                return shown
        raise TimeoutError(f"plan {plan} did not end within {seconds:.0f} s: {json.dumps(shown)[:2000]}")

    async def every(self, path: str) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            page = await self.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=200{more}")
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


@asynccontextmanager
async def connected(url: str, token_file: Path) -> AsyncGenerator[Api]:
    """The API at `url` with the token in the file."""
    headers = {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    timeout = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Api(url, session)
