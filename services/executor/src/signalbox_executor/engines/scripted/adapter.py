"""The scripted engine behind the port: a client like that of any real engine, with a limit on every wait and answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import Field, ValidationError
from pydantic_core import to_json

from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import Seconds, Value
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.port import (
    ENDS,
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Submission,
    Watched,
    bounded,
    is_link,
)
from signalbox_executor.engines.result import read_result

MAX_BYTES: Final = 32 * 1024 * 1024
"""Longest answer that is read. An observation whose answer is longer is asked again in halves."""
MAX_KEYS: Final = 50_000

_Epoch = Annotated[float, Field(ge=0, lt=1e11)]
_V = TypeVar("_V", bound=Value)


class Started(Value):
    handle: Annotated[str, Field(min_length=1, max_length=1024)]


class Sealed(Value):
    handle: Annotated[str, Field(min_length=1, max_length=1024)] | None


class Refusal(Value):
    reason: str = ""
    field: str = ""
    value: str = ""


class RetryLater(Value):
    retry_after_seconds: Annotated[Seconds, Field(le=3600)]


class RunAnswer(Value):
    """What the engine says of one run."""

    handle: Annotated[str, Field(min_length=1, max_length=1024)]
    phase: Phase
    cause: EndCause | None = None
    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    message: str = ""
    result_text: str | None = None
    started_at: _Epoch | None = None
    ended_at: _Epoch | None = None
    log_bytes: Annotated[int, Field(ge=0, lt=2**53)] | None = None


class ObserveAnswer(Value):
    runs: dict[str, RunAnswer]


class AnswerTooLong(Exception):
    """More than `MAX_BYTES`; never leaves this module."""


class _Scripted:
    """A scripted engine at a URL. Without a session of the operator's guard only 127.0.0.1 is called."""

    _remembers_keys = True

    def __init__(
        self,
        url: str,
        *,
        name: str = "scripted",
        timeout_seconds: float = 30.0,
        http_session: Callable[..., aiohttp.ClientSession] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._http_session = http_session or EgressGuard("127.0.0.1").session
        self._session: aiohttp.ClientSession | None = None

    def _name_of(self, run: Watched) -> str | None:
        """What the engine knows a run by; None if nothing that it would know."""
        return run.run_key if self._remembers_keys else run.handle

    async def submit(self, submission: Submission) -> Handle:
        """As the port says; 409 is "already there" and carries the handle."""
        if not isinstance(submission.work, ScriptedWork):
            raise EngineRefused(
                self._name,
                f"{submission.work.kind!r} is not allowed: only 'scripted' runs here",
                field="work.kind",
                value=submission.work.kind,
            )
        status, body = await self._ask(
            "POST",
            "/runs",
            run_key=submission.run_key,
            task_id=submission.task_id,
            attempt=submission.attempt,
            script=submission.work.script,
            remembers_keys=self._remembers_keys,
        )
        if status == 410:
            raise EngineRefused(self._name, "it was sealed", field="run_key", value=submission.run_key, sealed=True)
        if status in (400, 422):
            answer = self._read(Refusal, body)
            raise EngineRefused(self._name, bounded(answer.reason), field=answer.field[:200], value=answer.value[:200])
        return self._read(Started, self._expect(body, status, 201, 409)).handle

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """One call for all, unless the answer is too long."""
        found: dict[str, Observation] = {}
        parts = [watched[at : at + MAX_KEYS] for at in range(0, len(watched), MAX_KEYS)]
        while parts:
            part = parts.pop()
            try:
                names = [name for run in part if (name := self._name_of(run)) is not None]
                status, body = await self._ask("POST", "/observe", run_keys=names)
            except AnswerTooLong:
                if len(part) == 1:
                    raise EngineUnavailable(self._name, f"an answer of more than {MAX_BYTES} bytes") from None
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
                continue
            runs = self._read(ObserveAnswer, self._expect(body, status, 200)).runs
            now = datetime.now(UTC)
            for run in part:
                found[run.run_key] = self._observed(run.run_key, runs.get(self._name_of(run) or ""), now)
        return found

    async def cancel(self, watched: Watched) -> None:
        """A run it does not know is left alone."""
        name = self._name_of(watched)
        if name is not None:
            status, body = await self._ask("POST", f"/runs/{quote(name, safe='')}/cancel")
            self._expect(body, status, 202, 404)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        name = quote(self._name_of(watched) or "nobody", safe="")
        status, body = await self._ask("GET", f"/runs/{name}/log?offset={offset}&limit={limit}")
        return LogPage(offset, self._expect(body, status, 200)[:limit])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _observed(self, run_key: str, answer: RunAnswer | None, now: datetime) -> Observation:
        if answer is None:
            return Observation(run_key=run_key, phase=Phase.LOST, handle=None, at=now, message="not known")
        phase, cause, message = answer.phase, answer.cause if answer.phase in ENDS else None, answer.message
        if phase is Phase.OTHER or (phase in ENDS and cause is None):
            raise EngineUnavailable(self._name, f"it says phase {answer.phase} with cause {answer.cause} of {run_key}")
        result: Any = None
        if answer.result_text is not None:
            try:
                result = read_result(answer.result_text.encode())
            except ValueError as error:
                if phase is Phase.SUCCEEDED:
                    phase, cause, message = Phase.FAILED, EndCause.FAILED, str(error)
        return Observation(
            run_key=run_key,
            phase=phase,
            handle=answer.handle,
            at=now,
            exit_code=answer.exit_code,
            result=result,
            cause=cause,
            message=bounded(message),
            started_at=_instant(answer.started_at),
            log_bytes=answer.log_bytes,
            ended_at=_instant(answer.ended_at),
            handle_url=f"{self._url}/runs/{quote(run_key, safe='')}" if is_link(self._url) else None,
        )

    async def _ask(self, method: str, path: str, **body: Any) -> tuple[int, bytes]:
        """Status and body of an answer that can be believed; the port's errors for every other."""
        with request_errors(self._name):
            async with self._client().request(
                method, f"{self._url}{path}", data=to_json(body) if body else None, allow_redirects=False
            ) as response:
                data = bytearray()
                async for chunk in response.content.iter_chunked(65_536):
                    data += chunk
                    if len(data) > MAX_BYTES:
                        raise AnswerTooLong
                if response.status == 429:
                    raise EngineThrottled(self._name, self._read(RetryLater, bytes(data)).retry_after_seconds)
                if response.status >= 500:
                    raise EngineUnavailable(self._name, f"status {response.status}")
                return response.status, bytes(data)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._http_session(timeout=self._timeout)
        return self._session

    def _expect(self, body: bytes, status: int, *expected: int) -> bytes:
        if status not in expected:
            raise EngineUnavailable(self._name, bounded(f"status {status}: {body[:500]!r}"))
        return body

    def _read(self, kind: type[_V], body: bytes) -> _V:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise EngineUnavailable(self._name, bounded(f"an answer that cannot be read: {error}")) from None


class ScriptedEngine(_Scripted):
    """One that remembers its run keys, and can seal them."""

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    async def seal(self, watched: Watched) -> Handle | None:
        status, body = await self._ask("POST", f"/runs/{watched.run_key}/seal")
        return self._read(Sealed, self._expect(body, status, 200)).handle


class ScriptedCopies(_Scripted):
    """One that cannot tell copies of a submit apart: each is a run of its own, known by its handle alone."""

    _remembers_keys = False

    @property
    def identity(self) -> Identity:
        return Identity.NONE


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
