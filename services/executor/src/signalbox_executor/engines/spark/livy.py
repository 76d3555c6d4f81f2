"""Livy's batches: its REST API as far as it is used, and what its states and refusals mean.

Tried with Livy 0.7.1. A batch is known by its name alone: ids begin at 0 again when Livy restarts without recovery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import Field, JsonValue, ValidationError

from signalbox_contracts.definitions.spark_work import RUN_KEY
from signalbox_contracts.definitions.work import SparkWork
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import Count, Value
from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable, bounded
from signalbox_executor.engines.spark.http import SparkHttp
from signalbox_executor.engines.spark.requests import check

PAGE: Final = 100
MAX_PAGES: Final = 1000
LOG_LINES: Final = 1000
COME_AGAIN_SECONDS: Final = 5.0
PHASES: Final[Mapping[str, Phase]] = {
    "not_started": Phase.SUBMITTED,
    "starting": Phase.SUBMITTED,
    "recovering": Phase.RUNNING,
    "idle": Phase.RUNNING,
    "running": Phase.RUNNING,
    "busy": Phase.RUNNING,
    "shutting_down": Phase.RUNNING,
    "success": Phase.SUCCEEDED,
    "dead": Phase.FAILED,
    "error": Phase.FAILED,
    "killed": Phase.KILLED,
}
CAUSES: Final[Mapping[Phase, EndCause]] = {
    Phase.SUCCEEDED: EndCause.COMPLETED,
    Phase.FAILED: EndCause.FAILED,
    Phase.KILLED: EndCause.KILLED,
}


class Batch(Value):
    """One batch that Livy holds."""

    id: Annotated[int, Field(ge=0, lt=2**53)]
    name: Annotated[str | None, Field(max_length=4096)] = None
    state: Annotated[str, Field(max_length=64)]
    app_id: Annotated[str | None, Field(alias="appId", max_length=255)] = None


class Batches(Value):
    """A page of batches."""

    total: Count = 0
    sessions: tuple[JsonValue, ...] = ()


class BatchLog(Value):
    """The last lines of a batch's `spark-submit`."""

    log: tuple[str, ...] = ()


class Message(Value):
    """Why Livy refused a call."""

    msg: str = ""


class Version(Value):
    version: Annotated[str, Field(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class Created:
    """Livy started a batch."""


@dataclass(frozen=True, slots=True)
class NameTaken:
    """A batch of this name is there."""


def judge_refusal(engine: str, message: str) -> NameTaken:
    """What a 400 means. Raises `EngineThrottled` or `EngineRefused` for what is no duplicate.

    Livy has nothing but its texts: the samples of `tests/unit/executor/test_executor_spark.py` are those of 0.7.1.
    """
    if "Duplicate session name" in message:
        return NameTaken()
    if "too many sessions" in message:
        raise EngineThrottled(engine, COME_AGAIN_SECONDS, message)
    field = "work.application" if message.startswith(("Local path", "requirement failed: Local path")) else ""
    raise EngineRefused(engine, bounded(message or "status 400"), field=field)


def batch_request(work: SparkWork, run_key: str, conf: Mapping[str, str]) -> dict[str, Any]:
    """The body that starts a batch."""
    request: dict[str, Any] = {
        "file": work.application, "name": run_key, "args": list(work.arguments),
        "conf": {**conf, **work.conf, RUN_KEY: run_key},
    }  # fmt: skip
    optional = {"className": work.main_class, "jars": work.jars, "pyFiles": work.py_files, "files": work.files}
    for name, value in optional.items():
        if value:
            request[name] = list(value) if isinstance(value, tuple) else value
    return request


def check_batch(work: SparkWork, engine: str) -> None:
    """Raise `EngineRefused` with the field for work that Livy cannot run."""
    check(work, engine)
    if work.environment:
        reason = "Livy sets no variables: use conf, such as spark.yarn.appMasterEnv.NAME; Spark shows it on its pages"
        raise EngineRefused(engine, reason, field="work.environment")


class Livy:
    """One Livy at a URL."""

    def __init__(self, http: SparkHttp, name: str, url: str) -> None:
        self._http = http
        self._name = name
        self.url = url.rstrip("/")

    async def close(self) -> None:
        await self._http.close()

    async def version(self) -> str:
        return (await self._http.get(f"{self.url}/version", Version)).version

    async def batches(self) -> dict[str, Batch]:
        """Every batch that Livy holds and that has a name, by name. One that cannot be read hides no other."""
        found: dict[str, Batch] = {}
        for page in range(MAX_PAGES):
            answer = await self._http.get(f"{self.url}/batches?from={page * PAGE}&size={PAGE}", Batches)
            for entry in answer.sessions:
                try:
                    batch = Batch.model_validate(entry)
                except ValidationError:
                    continue
                if batch.name:
                    found[batch.name] = batch
            if not answer.sessions or (page + 1) * PAGE >= answer.total:
                break
        return found

    async def batch(self, name: str) -> Batch | None:
        """One batch by its name; None if Livy holds none of it."""
        status, body = await self._http.call("GET", f"{self.url}/batches/{quote(name, safe='')}")
        if status == 404:
            return None
        batch = self._http.read(Batch, self._http.expect(status, body, 200))
        return batch if batch.name == name else None

    async def create(self, request: Mapping[str, Any]) -> Created | NameTaken:
        """Start a batch. Raises `EngineRefused` for one that Livy never starts."""
        status, body = await self._http.call("POST", f"{self.url}/batches", json=request)
        if status == 400:
            return judge_refusal(self._name, self._message(body))
        self._http.expect(status, body, 201)
        return Created()

    async def delete(self, name: str) -> bool:
        """End a batch and let Livy forget it; False if it held none of that name."""
        status, body = await self._http.call("DELETE", f"{self.url}/batches/{quote(name, safe='')}")
        if status == 404:
            return False
        self._http.expect(status, body, 200)
        return True

    async def log(self, name: str) -> str:
        """The lines of a batch's `spark-submit` that Livy keeps, the last 200 unless a size is given."""
        status, body = await self._http.call(
            "GET", f"{self.url}/batches/{quote(name, safe='')}/log?from=0&size={LOG_LINES}"
        )
        if status != 200:
            return ""
        return "\n".join(line.strip("\n") for line in self._http.read(BatchLog, body).log)

    def _message(self, body: bytes) -> str:
        try:
            return self._http.read(Message, body).msg
        except EngineUnavailable:
            return body[:500].decode(errors="replace")
