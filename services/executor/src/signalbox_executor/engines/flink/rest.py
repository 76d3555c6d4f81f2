"""The JobManager's REST API: one method a call, with a limit on every wait and answer, and the port's errors alone."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import TypeAdapter, ValidationError

from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.flink.answers import (
    Checkpoints,
    ClusterOverview,
    Errors,
    Exceptions,
    Jar,
    Jars,
    JobDetails,
    JobEntry,
    JobProgress,
    LogFile,
    LogFiles,
    Overview,
    SavepointStatus,
    Setting,
    Started,
    TaskManagers,
    Triggered,
    Uploaded,
)
from signalbox_executor.engines.http_access import request_errors
from signalbox_executor.engines.port import (
    AnswerUnreadable,
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    bounded,
)

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""10,000 jobs take about 5 MiB of an overview."""
MAX_ERROR_BYTES: Final = 1024 * 1024
_SETTINGS: Final = TypeAdapter(tuple[Setting, ...])
_T = TypeVar("_T", bound=Value)

OpenSession = Callable[[], aiohttp.ClientSession]
"""A guarded HTTP session with the credentials of the engine."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a JobManager process. Without high availability its jobs end with it, and are forgotten.

    `id` is the random folder that each process makes for its web server; empty where the cluster does not show it.
    """

    id: str
    high_availability: bool

    def forgot(self, earlier: str) -> bool:
        """Whether jobs that were submitted to the incarnation `earlier` are surely forgotten by this one."""
        return not self.high_availability and bool(self.id) and bool(earlier) and self.id != earlier


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and errors of a call that may be refused; `text` is every error, one after the other."""

    status: int
    text: str


class JobManager:
    """One JobManager at a URL. `name` is the engine's, for error texts."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        open_session: OpenSession,
        timeout_seconds: float = 30.0,
        certificates: ssl.SSLContext | None = None,
    ) -> None:
        self._certificates = certificates or True
        self._url = url.rstrip("/")
        self._name = name
        self._open = open_session
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return self._url

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def overview(self) -> Mapping[str, JobEntry]:
        """Every job by its id, in one call."""
        return (await self._get("/jobs/overview", Overview)).entries()

    async def cluster(self) -> ClusterOverview:
        return await self._get("/overview", ClusterOverview)

    async def incarnation(self) -> Incarnation:
        """Which life of the JobManager this is, by its own configuration."""
        status, body = await self._call("GET", "/jobmanager/config")
        try:
            settings = {one.key: one.value for one in _SETTINGS.validate_json(self._expect(status, body, 200))}
        except ValidationError as error:
            raise self._unreadable(error) from None
        kind = settings.get("high-availability.type") or settings.get("high-availability") or "NONE"
        return Incarnation(settings.get("web.tmpdir", "")[:1024], kind.upper() != "NONE")

    async def job(self, job_id: str) -> JobDetails | None:
        """One job; None if the JobManager does not know it."""
        status, body = await self._call("GET", f"/jobs/{job_id}")
        return None if status == 404 else self._read(JobDetails, self._expect(status, body, 200))

    async def exceptions(self, job_id: str) -> Exceptions:
        return await self._get(f"/jobs/{job_id}/exceptions?maxExceptions=20", Exceptions)

    async def progress(self, job_id: str) -> tuple[JobProgress, Checkpoints] | None:
        """The metrics of a job's operators and its checkpoints; None if the JobManager does not know it."""
        status, body = await self._call("GET", f"/jobs/{job_id}")
        if status == 404:
            return None
        job = self._read(JobProgress, self._expect(status, body, 200))
        status, body = await self._call("GET", f"/jobs/{job_id}/checkpoints")
        return job, self._read(Checkpoints, body) if status == 200 else Checkpoints()

    async def task_managers(self) -> Sequence[str]:
        """The ids of the TaskManagers."""
        return [one.id for one in (await self._get("/taskmanagers", TaskManagers)).taskmanagers]

    async def log_files(self, task_manager: str | None = None) -> Sequence[LogFile]:
        """The log files of a TaskManager, or of the JobManager; none of one that is gone."""
        status, body = await self._call("GET", f"{_process(task_manager)}/logs")
        return () if status in (404, 500) else self._read(LogFiles, self._expect(status, body, 200)).logs

    @asynccontextmanager
    async def log_content(self, name: str, task_manager: str | None = None) -> AsyncGenerator[AsyncIterable[bytes]]:
        """A log file from its beginning: Flink has no ranges. Nothing of one that is gone."""
        url = f"{self._url}{_process(task_manager)}/logs/{quote(name, safe='')}"
        with request_errors(self._name):
            async with self._client().get(
                url, timeout=self._timeout, allow_redirects=False, ssl=self._certificates
            ) as response:
                yield response.content.iter_chunked(65_536) if response.status == 200 else _nothing()

    async def jars(self) -> Sequence[Jar]:
        return (await self._get("/jars", Jars)).files

    async def upload(self, file_name: str, content: AsyncIterable[bytes], *, timeout_seconds: float) -> str:
        """Upload a JAR; its id. Raises `EngineRefused` where the cluster takes none, or none so large."""
        form = aiohttp.FormData()
        form.add_field("jarfile", content, filename=file_name, content_type="application/x-java-archive")
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        status, body = await self._call("POST", "/jars/upload", data=form, timeout=timeout)
        if status == 413:
            reason = "the JAR is larger than the cluster allows: rest.server.max-content-length"
            raise EngineRefused(self._name, reason, field="work.jar_url")
        if status == 404:
            raise EngineRefused(self._name, "the cluster takes no JARs: web.submit.enable is false")
        return self._read(Uploaded, self._expect(status, body, 200)).jar_id

    async def delete_jar(self, jar_id: str) -> None:
        """Remove an uploaded JAR; one that is gone is removed already."""
        status, body = await self._call("DELETE", f"/jars/{quote(jar_id, safe='')}")
        if status not in (400, 404, 500):
            self._expect(status, body, 200)

    async def run(self, jar_id: str, request: Mapping[str, Any]) -> Started | Answer:
        """Run a JAR's main, which lasts as long as that does."""
        # no limit of our own: whoever waits has one, and a second call would run main a second time
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total)
        status, body = await self._call("POST", f"/jars/{quote(jar_id, safe='')}/run", json=request, timeout=timeout)
        return self._read(Started, body) if status == 200 else Answer(status, _errors(body))

    async def cancel(self, job_id: str) -> None:
        """Ask a job to end; one that ended or is not known is left as it is."""
        status, body = await self._call("PATCH", f"/jobs/{job_id}?mode=cancel")
        self._expect(status, body, 202, 404, 409)

    async def stop(self, job_id: str, trigger_id: str, directory: str | None) -> None:
        """Stop a job with a savepoint. The same trigger again changes nothing."""
        body = {"triggerId": trigger_id, "drain": False, **({"targetDirectory": directory} if directory else {})}
        await self._trigger(f"/jobs/{job_id}/stop", body)

    async def savepoint(self, job_id: str, trigger_id: str, directory: str | None) -> None:
        """Take a savepoint of a job that runs on. The same trigger again changes nothing."""
        body = {"triggerId": trigger_id, **({"target-directory": directory} if directory else {})}
        await self._trigger(f"/jobs/{job_id}/savepoints", body)

    async def savepoint_status(self, job_id: str, trigger_id: str) -> SavepointStatus | None:
        """How far a savepoint is; None once Flink has forgotten the trigger, after 5 minutes by default."""
        status, body = await self._call("GET", f"/jobs/{job_id}/savepoints/{trigger_id}")
        return None if status == 404 else self._read(SavepointStatus, self._expect(status, body, 200))

    async def _trigger(self, path: str, body: Mapping[str, Any]) -> None:
        status, answer = await self._call("POST", path, json=body)
        if status in (400, 404, 409):
            raise EngineRefused(self._name, bounded(_errors(answer)))
        self._read(Triggered, self._expect(status, answer, 202))

    async def _get(self, path: str, kind: type[_T]) -> _T:
        status, body = await self._call("GET", path)
        return self._read(kind, self._expect(status, body, 200))

    async def _call(self, method: str, path: str, **arguments: Any) -> tuple[int, bytes]:
        """Status and body; the port's errors where there is no answer, or none that can be believed."""
        arguments.setdefault("timeout", self._timeout)
        with request_errors(self._name):
            async with self._request(method, f"{self._url}{path}", **arguments) as response:
                limit = MAX_ANSWER_BYTES if response.status < 400 else MAX_ERROR_BYTES
                body = await _read_up_to(response, limit)
                if response.status == 429:
                    raise EngineThrottled(self._name, 5.0)
                if response.status in (401, 403):
                    raise EngineUnavailable(
                        self._name,
                        f"status {response.status}: it does not take our credentials",
                        may_have_arrived=False,
                    )
                if len(body) > limit and response.status < 400:
                    raise EngineUnavailable(self._name, f"an answer of more than {limit} bytes")
                return response.status, body[:limit]

    def _request(self, method: str, url: str, **arguments: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._client().request(method, url, allow_redirects=False, ssl=self._certificates, **arguments)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._open()
        return self._session

    def _expect(self, status: int, body: bytes, *expected: int) -> bytes:
        if status not in expected:
            raise EngineUnavailable(self._name, bounded(f"status {status}: {_errors(body)[:500]}"))
        return body

    def _read(self, kind: type[_T], body: bytes) -> _T:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: ValidationError) -> EngineUnavailable:
        return AnswerUnreadable(self._name, f"an answer that cannot be read: {error}")


def _process(task_manager: str | None) -> str:
    return "/jobmanager" if task_manager is None else f"/taskmanagers/{quote(task_manager, safe='')}"


async def _nothing() -> AsyncGenerator[bytes]:
    for chunk in ():
        yield chunk


async def _read_up_to(response: aiohttp.ClientResponse, limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        data += chunk
        if len(data) > limit:
            break
    return bytes(data)


def _errors(body: bytes) -> str:
    """The errors of an answer as one text; the body itself where it is not Flink's form."""
    try:
        return "\n".join(Errors.model_validate_json(body).errors)
    except ValidationError:
        return body[:10_000].decode(errors="replace")
