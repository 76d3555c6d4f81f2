"""HTTP to Spark's servers: a limit on every wait and answer, and the port's errors alone."""

import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar

import aiohttp
from pydantic import ValidationError

from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, bounded

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""10,000 drivers take about 4 MiB."""
_T = TypeVar("_T", bound=Value)
OpenSession = Callable[[], aiohttp.ClientSession]
"""A guarded HTTP session with the credentials of the engine."""


class SparkHttp:
    """Calls of one engine's servers. `name` is the engine's, for error texts."""

    def __init__(
        self,
        name: str,
        open_session: OpenSession,
        *,
        timeout_seconds: float = 30.0,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._name = name
        self._open = open_session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._certificates = certificates or True
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, url: str, **arguments: Any) -> tuple[int, bytes]:
        """Status and body. Raises the port's errors where there is no answer, or none that can be believed."""
        if self._session is None:
            self._session = self._open()
        with request_errors(self._name):
            async with self._session.request(
                method, url, timeout=self._timeout, allow_redirects=False, ssl=self._certificates, **arguments
            ) as response:
                body = await _read_up_to(response, MAX_ANSWER_BYTES)
        if response.status == 429:
            raise EngineThrottled(self._name, 5.0)
        if response.status in (401, 403):
            reason = f"status {response.status}: it does not take our credentials"
            raise EngineUnavailable(self._name, reason, may_have_arrived=False)
        if len(body) > MAX_ANSWER_BYTES:
            raise EngineUnavailable(self._name, f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return response.status, body

    async def get(self, url: str, kind: type[_T]) -> _T:
        """What a URL answers with 200."""
        status, body = await self.call("GET", url)
        return self.read(kind, self.expect(status, body, 200))

    def expect(self, status: int, body: bytes, *expected: int) -> bytes:
        """The body of an answer with one of these statuses. Raises `EngineUnavailable` for any other."""
        if status not in expected:
            text = body[:500].decode(errors="replace")
            raise EngineUnavailable(self._name, bounded(f"status {status}: {text}"))
        return body

    def read(self, kind: type[_T], body: bytes) -> _T:
        """An answer as a value. Raises `EngineUnavailable` for one that cannot be read."""
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise EngineUnavailable(self._name, bounded(f"an answer that cannot be read: {error}")) from None


async def _read_up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        data += chunk
        if len(data) > limit:
            break
    return bytes(data)
