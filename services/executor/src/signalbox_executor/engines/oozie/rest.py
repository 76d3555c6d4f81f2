"""Oozie's REST v2 with a limit on every wait and answer. Errors come from headers first.

PUT and DELETE errors have an empty body, and almost every refusal is HTTP 400, so status and body alone say little
(seen on 5.2.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.oozie.configuration import to_xml
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, bounded

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_ERROR: Final = 2000
UNKNOWN_CODES: Final = frozenset({"E0604", "E0605"})
"""Oozie does not know the job or action: E0604 for `show=info`, E0605 for everything else."""
SAFE_MODE: Final = "E0002"
_A = TypeVar("_A", bound=BaseModel)


class OozieRefused(Exception):
    """Oozie answered with an error of its own. Never leaves this package."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message or code or f"status {status}")
        self.code = code
        self.message = message
        self.status = status

    @property
    def unknown(self) -> bool:
        """The job or action does not exist. `show=log` wraps that in E0307."""
        return self.code in UNKNOWN_CODES or (self.code == "E0307" and "E0604" in self.message)

    def __str__(self) -> str:
        text = self.message if self.message.startswith(self.code) else f"{self.code}: {self.message}"
        if self.unknown:  # E0605 shows an SQL statement instead of a sentence
            text = f"{self.code}: Oozie does not know it"
        return text.strip(": ") or f"status {self.status}"


class Authentication(Protocol):
    """How requests prove who we are."""

    async def headers(self, url: URL) -> Mapping[str, str]: ...


class Anonymous:
    """Nothing but the user's name in the query, as Oozie's simple authentication wants it."""

    async def headers(self, url: URL) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class FixedHeader:
    """Basic and bearer authentication: the same header with every request."""

    value: str = field(repr=False)

    async def headers(self, url: URL) -> Mapping[str, str]:
        return {"Authorization": self.value}


class OozieRest:
    """One Oozie server. `user` is who jobs run as; `do_as` acts for that user by a configured proxy user."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        session: Callable[[], aiohttp.ClientSession],
        user: str,
        do_as: str | None = None,
        authentication: Authentication | None = None,
    ) -> None:
        self.name = name
        self.user = do_as or user
        base = URL(url.rstrip("/"))
        self.url = base if base.path.rstrip("/").endswith("/oozie") else base / "oozie"
        self._make_session = session
        self._session: aiohttp.ClientSession | None = None
        self._query = {"user.name": user, **({"doAs": do_as} if do_as else {})}
        self._authentication = authentication or Anonymous()
        self._clock_difference = timedelta()

    def server_now(self) -> datetime:
        """The server's clock, as its last answer told it, to the second."""
        return datetime.now(UTC) + self._clock_difference

    async def read(self, kind: type[_A], path: str, **query: Any) -> _A:
        """A JSON answer. Raises `OozieRefused` and the port's errors."""
        body = await self._request("GET", path, query)
        return self._parse(kind, body)

    async def text(self, path: str, **query: Any) -> str:
        """A plain text answer: logs and definitions."""
        return (await self._request("GET", path, query)).decode("utf-8", "replace")

    async def post(self, kind: type[_A], path: str, properties: Mapping[str, str], **query: Any) -> _A:
        return self._parse(kind, await self._request("POST", path, query, to_xml(properties)))

    async def put(self, path: str, properties: Mapping[str, str] | None = None, **query: Any) -> bytes:
        """A control call. 200 says only that Oozie took it: read the state back."""
        return await self._request("PUT", path, query, None if properties is None else to_xml(properties))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, path: str, query: Mapping[str, Any], body: bytes | None = None) -> bytes:
        url = (self.url / path.lstrip("/")).with_query({**self._sent(query), **self._query})
        headers = {"Content-Type": "application/xml;charset=UTF-8"} if body is not None else {}
        with request_errors(self.name):
            headers |= await self._authentication.headers(url)
            async with self._client().request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                self._learn_clock(response.headers.get("Date"))
                data = await self._bounded(response)
                return self._believe(response, data)

    @staticmethod
    def _sent(query: Mapping[str, Any]) -> dict[str, str]:
        """Oozie's booleans are `true` and `false`; parameters without a value are left out."""
        shown = {True: "true", False: "false"}
        return {
            name.rstrip("_").replace("_", "-"): shown[value] if isinstance(value, bool) else str(value)
            for name, value in query.items()
            if value is not None
        }

    def _believe(self, response: aiohttp.ClientResponse, data: bytes) -> bytes:
        """The body of a success; every other answer is an error of Oozie's or of the port."""
        status = response.status
        if status in (200, 201):
            return data
        code = response.headers.get("oozie-error-code", "")[:16]
        message = response.headers.get("oozie-error-message", "")[:MAX_ERROR]
        if code == SAFE_MODE:  # it refuses all but reads, and has done nothing
            raise EngineUnavailable(self.name, "it is in safe mode", may_have_arrived=False)
        if status == 429:
            raise EngineThrottled(self.name, _retry_after(response.headers.get("Retry-After")))
        if status in (401, 403):
            reason = f"it does not accept our credentials (status {status}{f', {code}' if code else ''}): {message}"
            raise EngineUnavailable(self.name, bounded(reason), may_have_arrived=False)
        if status == 400 and code:
            raise OozieRefused(code, message, status)
        shown = message or data[:300].decode("utf-8", "replace")
        raise EngineUnavailable(self.name, bounded(f"status {status} {code} {shown}".strip()))

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            data += chunk
            if len(data) > MAX_BYTES:
                raise EngineUnavailable(self.name, f"an answer of more than {MAX_BYTES} bytes")
        return bytes(data)

    def _learn_clock(self, date: str | None) -> None:
        if date:
            try:
                self._clock_difference = parsedate_to_datetime(date) - datetime.now(UTC)
            except (ValueError, TypeError):
                return

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._make_session()
        return self._session

    def _parse(self, kind: type[_A], body: bytes) -> _A:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise EngineUnavailable(self.name, bounded(f"an answer that cannot be read: {error}")) from None


def _retry_after(value: str | None) -> float:
    try:
        return min(600.0, max(1.0, float(value or "5")))
    except ValueError:
        return 5.0
