"""One harness an engine: it serves the conformance suite, the crash points and chaos.

`tests/engines/KIND/harness.py` has a class `Harness`; nothing lists it. Engines that need a server of their own carry
the marker `engine` wherever they are tried.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import SystemClock
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.work import AirflowWork, ScriptedWork, Work
from signalbox_contracts.ids import run_key
from signalbox_contracts.vocabulary import RESULT_BYTES
from signalbox_executor.engines.capabilities import Capability
from signalbox_executor.engines.kind import EngineContext, EngineKind
from signalbox_executor.engines.port import Engine, EngineUnavailable, Submission, Watched
from signalbox_executor.engines.registry import KINDS
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from support.deadlines import wait_until

HERE: Final = Path(__file__).parent
ALLOWED: Final = "127.0.0.1,localhost,[::1]"


@dataclass(frozen=True, kw_only=True)
class WorkRequest:
    """What a piece of work shall do, in words every engine can carry out."""

    endless: bool = False
    """Runs until it is cancelled."""
    exit_code: int = 0
    """0 succeeds, anything else fails."""
    result: str | None = None
    log: str = ""
    answer_is_lost: bool = False
    """The first submit is accepted, and its caller gets no answer."""
    refused: bool = False
    """The engine refuses it for good."""
    late: bool = False
    """Its submits take long to be accepted: `Harness.late` says until when."""
    forgotten: bool = False
    """The engine loses its memory of it, by itself or when `forget` is called."""


class EngineHarness(ABC):
    """One engine that runs as long as the tests of a module do. Every test takes keys of its own.

    The methods below the line are for crash points: an engine that is not tried there leaves them as they are.
    """

    kind: ClassVar[str]
    """As in the registry."""
    real_server: ClassVar[bool] = True
    """Whether it needs a server of its own: then its tests carry the marker `engine`."""
    deadline_seconds: ClassVar[float] = 90.0
    """How long a run of this engine may take to begin, and to end."""
    plain_logs: ClassVar[bool] = True
    """Whether a run's log is what its work wrote, and nothing else."""
    max_result_bytes: ClassVar[int] = RESULT_BYTES
    """The longest result the engine itself keeps (`Capability.RESULTS`)."""
    keeps_empty_results: ClassVar[bool] = True
    """Whether the engine tells an empty result from none."""
    logs_hold_output: ClassVar[bool] = True
    """False: its log is the engine's own words about the run, and has nothing the work wrote."""
    begins_late: ClassVar[bool] = False
    """Whether its work begins seconds after the engine says it runs: a cancel may be faster."""
    late_submit_starts: ClassVar[bool] = True
    """False: a submit is several calls, and one that arrives when its sender is dead may start nothing by itself."""
    connection: Mapping[str, Any]
    """The connection of its definition."""
    settings: Mapping[str, str] = {}
    """Environment an executor needs to reach it, beside the definition."""
    folder: Path
    """A folder of its own, made by `started`."""
    engine: Engine
    """The adapter, inside `opened`."""

    @classmethod
    @abstractmethod
    def started(cls, folder: Path) -> AbstractContextManager[Self]:
        """Start the engine, and end all of it afterwards."""
        ...

    @abstractmethod
    def work(self, key: str, request: WorkRequest) -> Work:
        """Work that does this; `key` is the run key of the first attempt."""
        ...

    @abstractmethod
    async def starts(self, key: str) -> int:
        """How many times work of this key began to run, by what it left behind and not by what the engine says."""
        ...

    @abstractmethod
    async def out_of_reach(self) -> Engine:
        """An engine of this kind that cannot be called."""
        ...

    def wrong_work(self) -> tuple[Work, str]:
        """Work this engine refuses for good, and the field that is wrong with it (`Capability.REFUSES_WORK`)."""
        raise NotImplementedError

    def foreign_work(self) -> Work:
        """Work of another kind of engine."""
        return AirflowWork(dag_id="x") if self.kind != "airflow" else ScriptedWork()

    async def submit_without_answer(self, submission: Submission) -> None:
        """Submit work with `answer_is_lost` so that the engine accepts it and the caller gets no answer."""
        with pytest.raises(EngineUnavailable):
            await self.engine.submit(submission)

    async def end_all(self) -> None:  # noqa: B027
        """Leave nothing running; called after each test."""

    @property
    def engine_kind(self) -> EngineKind:
        return KINDS[self.kind]

    def has(self, capability: Capability) -> bool:
        return capability in self.engine_kind.capabilities

    def definition(self, **connection: Any) -> EngineDefinition:
        """A definition of this engine; arguments replace parts of the connection."""
        values = {"id": self.kind, "name": self.kind, "connection": {**self.connection, **connection}}
        return EngineDefinition.model_validate(values)

    def context(self) -> EngineContext:
        """What an executor would give it."""
        blobs = Blobs((self.folder / "blobs").as_uri())
        return engine_context(self.settings, blobs=blobs)

    async def open(self, **connection: Any) -> Engine:
        """An adapter, made as the registry makes it."""
        return await self.engine_kind.open(self.definition(**connection), self.context())

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Self]:
        """With an adapter for one test, and nothing endless left behind."""
        self.engine = await self.open()
        try:
            yield self
        finally:
            await self.end_all()
            await self.engine.close()

    # ------------------------------------------------------------------ crash points

    under_way_point: ClassVar[str] = "executor.no_answer"
    """The crash point passed when a submit is under way and its caller goes on."""
    lost_answer_point: ClassVar[str] = "executor.no_answer"
    """The crash point passed when the engine accepted a submit and its answer is lost."""

    @classmethod
    def started_to_be_late(cls, folder: Path) -> AbstractContextManager[Self]:
        """Start the engine so that `late` works."""
        return cls.started(folder)

    def late(self, key: str) -> AbstractContextManager[None]:
        """Inside, submits of this key are under way and not accepted. Work that is `late` only."""
        return nullcontext()

    def forget(self, key: str) -> None:  # noqa: B027
        """Know the key no more. Work that is `forgotten` only."""

    def clean(self, key: str) -> None:  # noqa: B027
        """Leave nothing running of this key, from outside of any event loop."""


def harnesses() -> dict[str, type[EngineHarness]]:
    """Every harness there is, by kind."""
    found = (path.parent.name for path in sorted(HERE.glob("*/harness.py")))
    return {kind: import_module(f"engines.{kind}.harness").Harness for kind in found}


def marks_of(kind: str) -> list[pytest.MarkDecorator]:
    """The markers of a test on this kind of engine."""
    return [pytest.mark.engine] if harnesses()[kind].real_server else []


def each_engine() -> list[Any]:
    """Parameters for a test on every engine; those with servers of their own are left out of the default run."""
    return [pytest.param(harness, marks=marks_of(kind), id=kind) for kind, harness in harnesses().items()]


def engine_context(environment: Mapping[str, str], blobs: Blobs | None = None) -> EngineContext:
    """The context of an executor with these settings, which may call this machine."""
    fields = {name.removeprefix("SIGNALBOX_").lower(): value for name, value in environment.items()}
    values: dict[str, Any] = {
        "kafka_bootstrap": "127.0.0.1:1",
        "database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none"),
        "egress_allow": ALLOWED,
        **fields,
    }
    settings = ExecutorSettings(**values)
    kinds = [kind.settings for kind in KINDS.values() if kind.settings is not None]
    own = {kind: kind(**{name: fields[name] for name in kind.model_fields if name in fields}) for kind in kinds}
    return EngineContext(
        settings=settings, guard=settings.guard(), secrets=Secrets(), clock=SystemClock(), blobs=blobs,
        engine_settings=own,
    )  # fmt: skip


def new_submission(harness: EngineHarness, request: WorkRequest | None = None, *, attempt: int = 1) -> Submission:
    """A new task's submit."""
    task_id: UUID = uuid4()
    key = run_key(task_id, attempt)
    return Submission(run_key=key, task_id=task_id, attempt=attempt, work=harness.work(key, request or WorkRequest()))


def watched(of: Submission, handle: str | None = None) -> Watched:
    return Watched(of.run_key, of.attempt, handle)


async def leave_when_begun(harness: EngineHarness, submission: Submission) -> None:
    """Submit work whose caller is gone as soon as it has begun."""

    async def began() -> bool:
        return await harness.starts(submission.run_key) == 1

    submitting = asyncio.create_task(harness.engine.submit(submission))
    await until(began, "the work began")
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)


def lines_in(stamps: Path) -> int:
    """How many times work began that appends a line to this file each time."""
    return len(stamps.read_text().splitlines()) if stamps.exists() else 0


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout_seconds: float = 90) -> None:
    """Return when the condition holds. Raises DeadlineExceeded with `what` when it does not in time."""
    await wait_until(condition, seconds=timeout_seconds, why=what, poll_seconds=0.01)
