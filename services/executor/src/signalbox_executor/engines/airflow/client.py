"""HTTP calls to one Airflow: authentication, limits on every wait and answer, and the port's errors.

3.x takes a bearer token of `POST /auth/token`, which lives for a day by default. It answers 401 to an expired token,
and 403 to one signed with another secret, as after a reinstallation: the call is repeated once with a fresh token. 2.x
takes basic authentication.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.airflow.answers import Token, Version
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.port import AnswerUnreadable, EngineThrottled, EngineUnavailable, bounded, is_link

MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
MAX_RETRY_AFTER_SECONDS: Final = 3600.0
DEFAULT_RETRY_AFTER_SECONDS: Final = 5.0
FRESH_TOKEN_SECONDS: Final = 60.0
"""A 403 with so young a token is about permissions."""

Major = Literal[2, 3]
Query = list[tuple[str, str]]
_V = TypeVar("_V", bound=Value)


@dataclass(frozen=True, slots=True)
class Credentials:
    """How calls prove who we are. A `token` is sent as it is; otherwise username and password."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


CredentialsSource = Callable[[], Awaitable[Credentials]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and the moment Airflow put into its `Date` header."""

    status: int
    body: bytes
    at: datetime

    def reason(self) -> str:
        """What a refusal says, bounded: `detail` is a text, a list of field errors, or an object."""
        try:
            body: Any = from_json(self.body)
            detail: Any = body.get("detail") or body.get("title", "")
        except (ValueError, AttributeError):
            detail = self.body[:500].decode(errors="replace")
        if isinstance(detail, list):
            parts: list[Any] = detail  # pyright: ignore[reportUnknownVariableType]
            detail = "; ".join(map(_field_error, parts))
        elif isinstance(detail, dict):
            detail = str(detail.get("reason") or detail)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        return bounded(str(detail).strip() or f"status {self.status}")


def _field_error(part: Any) -> str:
    """`body.conf: what is wrong`; what has another form as it is."""
    if not isinstance(part, dict):
        return str(part)
    error: dict[str, Any] = part  # pyright: ignore[reportUnknownVariableType]
    place = error.get("loc")
    names: list[Any] = place if isinstance(place, list) else []  # pyright: ignore[reportUnknownVariableType]
    return f"{'.'.join(map(str, names))}: {error.get('msg')}"


class AirflowClient:
    """One deployment at a URL. Safe to use from many coroutines at once."""

    def __init__(
        self,
        url: str,
        credentials: CredentialsSource,
        *,
        name: str = "airflow",
        version: Literal["auto", "2", "3"] = "auto",
        timeout_seconds: float = 30.0,
        http_session: Callable[..., aiohttp.ClientSession],
    ) -> None:
        self.name = name
        self.url = url.rstrip("/")
        self._credentials = credentials
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._http_session = http_session
        self._session: aiohttp.ClientSession | None = None
        self._major: Major | None = None if version == "auto" else (2 if version == "2" else 3)
        self._version_known = asyncio.Lock()
        self._token, self._token_at = "", float("-inf")
        self._login = asyncio.Lock()

    async def major(self) -> Major:
        """2 or 3: as configured, or as the deployment answers. Airflow 3 answers 404 below `/api/v1`."""
        if self._major is None:
            async with self._version_known:
                if self._major is None:
                    self._major = await self._ask_version()
        return self._major

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Any = None,
        *,
        accept: str = "application/json",
        cut_at: int | None = None,
    ) -> Answer:
        """An answer that can be believed, of any status below 500 but 401 and 429.

        `path` starts below the API's root: `/dags/…`. Only so many bytes of a longer answer are read if `cut_at` is
        given. Raises the port's errors.
        """
        root = "v1" if await self.major() == 2 else "v2"
        url = f"{self.url}/api/{root}{path}"
        if query:
            url += f"?{urlencode(query)}"
        answer = await self._authorized(_Call(method, url, body, accept, cut_at))
        if answer.status == 401:  # nothing was done: who asks is checked before anything else
            raise EngineUnavailable(self.name, f"it does not let us in: {answer.reason()}", may_have_arrived=False)
        return answer

    def page_of(self, dag_id: str, dag_run_id: str) -> str | None:
        """Airflow's own page of a run; None if the address is too long to be a link."""
        if self._major == 2:
            page = f"{self.url}/dags/{segment(dag_id)}/grid?{urlencode({'dag_run_id': dag_run_id})}"
        else:
            page = f"{self.url}/dags/{segment(dag_id)}/runs/{segment(dag_run_id)}"
        return page if is_link(page) else None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def unexpected(self, answer: Answer) -> EngineUnavailable:
        """The error for a status that no rule of ours explains."""
        return EngineUnavailable(self.name, bounded(f"status {answer.status}: {answer.reason()}"))

    def read(self, kind: type[_V], answer: Answer) -> _V:
        """The answer as this value. Raises `AnswerUnreadable` for one that cannot be read."""
        if answer.status not in (200, 201):
            raise self.unexpected(answer)
        try:
            try:
                return kind.model_validate_json(answer.body)
            except ValidationError:
                return kind.model_validate_json(_without_half_letters(answer.body))
        except (ValueError, RecursionError) as error:
            raise AnswerUnreadable(self.name, f"an answer that cannot be read: {error}") from None

    async def _authorized(self, call: "_Call") -> Answer:
        credentials = await self._credentials()
        if await self.major() == 2 and not credentials.token:
            answer = await self._send(call, aiohttp.encode_basic_auth(credentials.username, credentials.password))
            if answer.status == 401:
                words = f"username {credentials.username!r} and its password are not accepted"
                raise EngineUnavailable(self.name, f"{words}: {answer.reason()}", may_have_arrived=False)
            return answer
        if credentials.token:
            return await self._send(call, f"Bearer {credentials.token}")
        token = self._token or await self._log_in(credentials, old="")
        answer = await self._send(call, f"Bearer {token}")
        aged = time.monotonic() - self._token_at > FRESH_TOKEN_SECONDS or token != self._token
        if answer.status == 401 or (answer.status == 403 and aged):
            token = await self._log_in(credentials, old=token)
            answer = await self._send(call, f"Bearer {token}")
        return answer

    async def _log_in(self, credentials: Credentials, *, old: str) -> str:
        """A token newer than `old`; coroutines that need one at once share it."""
        async with self._login:
            if self._token and self._token != old:
                return self._token
            self._token, self._token_at = "", time.monotonic()
            body = {"username": credentials.username, "password": credentials.password}
            with self._before_the_call():
                answer = await self._send(_Call("POST", f"{self.url}/auth/token", body))
                if answer.status in (400, 401, 403, 404, 422):
                    words = f"username {credentials.username!r} and its password are not accepted"
                    raise EngineUnavailable(self.name, f"{words}: {answer.reason()}")
                self._token = self.read(Token, answer).access_token
            return self._token

    async def _ask_version(self) -> Major:
        with self._before_the_call():
            for major, root in ((3, "v2"), (2, "v1")):
                answer = await self._send(_Call("GET", f"{self.url}/api/{root}/version"))
                if answer.status == 200:
                    self.read(Version, answer)
                    return 3 if major == 3 else 2
            raise EngineUnavailable(self.name, "no version of Airflow's API answers there")

    @contextmanager
    def _before_the_call(self) -> Generator[None]:
        """A failure in here means that the call itself never left."""
        try:
            yield
        except EngineUnavailable as error:
            raise EngineUnavailable(error.engine, error.reason, may_have_arrived=False) from error

    async def _send(self, call: "_Call", authorization: str = "") -> Answer:
        headers = {"Accept": call.accept}
        if authorization:
            headers["Authorization"] = authorization
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        data = None if call.body is None else to_json(call.body)
        with request_errors(self.name):
            async with self._open().request(
                call.method, call.url, data=data, headers=headers, allow_redirects=False
            ) as response:
                if response.status == 429 or (response.status == 503 and "Retry-After" in response.headers):
                    raise EngineThrottled(self.name, _retry_after(response.headers.get("Retry-After", "")))
                if response.status >= 500 or 300 <= response.status < 400:
                    raise EngineUnavailable(self.name, f"status {response.status}")
                received = await self._read(response, call.cut_at)
                return Answer(response.status, received, _date(response.headers.get("Date", "")))

    async def _read(self, response: aiohttp.ClientResponse, cut_at: int | None) -> bytes:
        received = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            received += chunk
            if cut_at is not None and len(received) >= cut_at:
                response.close()
                return bytes(received[:cut_at])
            if len(received) > MAX_ANSWER_BYTES:
                raise EngineUnavailable(self.name, f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        return bytes(received)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._http_session(timeout=self._timeout)
        return self._session


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    body: Any = None
    accept: str = "application/json"
    cut_at: int | None = None


def segment(text: str) -> str:
    """A text as one segment of a path: slashes and dots cannot lead elsewhere."""
    return quote(text, safe="").replace("..", "%2E%2E") if text not in (".", "..") else text.replace(".", "%2E")


def _without_half_letters(body: bytes) -> bytes:
    """The JSON with `?` for halves of letters, which 2.x writes as they are in a `conf`, and our reader refuses."""
    return json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")


def _retry_after(text: str) -> float:
    """Seconds to wait; Airflow and the proxies before it send a number."""
    try:
        return min(max(float(text), 0.1), MAX_RETRY_AFTER_SECONDS)
    except ValueError:
        return DEFAULT_RETRY_AFTER_SECONDS


def _date(text: str) -> datetime:
    """Airflow's own clock, to the second: ours may be an hour off."""
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return datetime.now(UTC)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
