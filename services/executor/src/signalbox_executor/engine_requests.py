"""Answers operations that an engine carries out: savepoints, pins, notes of runs, pauses of DAGs, controls of jobs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_chassis.runtime.tasks import cancel
from signalbox_contracts.artifacts import pin_scope
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_contracts.messages.states import Outcome
from signalbox_executor.engines.capabilities import (
    Annotates,
    ControlsJobs,
    PausesDags,
    PinsArtifacts,
    TakesSavepoints,
)
from signalbox_executor.engines.port import Engine, EngineRefused, EngineThrottled, EngineUnavailable, Watched
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.operations import answer
from signalbox_executor.store import engine_requests, operations
from signalbox_executor.store.engine_requests import EngineRequest

log = logging.getLogger(__name__)
REQUEST_SECONDS: Final = 900.0
"""Longest time one request may take: an artifact may be large, a savepoint as well."""
LOOK_SECONDS: Final = 0.5
Result = tuple[Outcome, str, Mapping[str, JsonValue] | None]


@dataclass
class EngineRequests:
    """Carries out each operation in a coroutine of its own.

    Another replica may carry it out too: each gives the same twice as once, and one answer is given.
    """

    database: Database
    registry: EngineRegistry
    reachable: Callable[[], list[str]]
    _running: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, "asyncio.Task[None]"])

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        await cancel(*self._running.values())

    async def one_pass(self) -> None:
        """Begin what was asked and is not under way here."""
        async with self.database.connection() as connection:
            pending = await engine_requests.pending(connection, self.reachable())
        for request in pending:
            id = request.operation.id
            if id not in self._running:
                task = asyncio.create_task(self._carry_out(request), name=f"operation {id}")
                self._running[id] = task
                task.add_done_callback(lambda ended, id=id: self._ended(id, ended))

    def _ended(self, id: UUID, ended: asyncio.Task[None]) -> None:
        del self._running[id]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("operation %s failed half way, and is tried again: %r", id, error)

    async def _carry_out(self, request: EngineRequest) -> None:
        outcome, reason, details = await self._try(request)
        async with self.database.unit_of_work() as work:
            if await operations.done(work.connection, request.operation.id):
                answer(work, request.operation, outcome, reason, dict(details) if details is not None else None)

    async def _try(self, request: EngineRequest) -> Result:
        engine = self.registry.get(request.engine_id) if request.reached else None
        if engine is None:
            return Outcome.FAILED, f"no executor that runs can reach {request.engine_id or 'the engine'}", None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await _CARRY_OUT[request.operation.kind](engine, request)
        except EngineRefused as refused:
            return Outcome.REFUSED, str(refused), None
        except (EngineUnavailable, EngineThrottled) as error:
            return Outcome.FAILED, str(error), None
        except TimeoutError:
            return Outcome.FAILED, f"not done within {REQUEST_SECONDS:g} s", None
        except Exception as error:
            if classify(error) is not Failure.LASTING:
                raise
            note_fault("engine requests", error)  # tried again it would fail again, and never be answered
            return Outcome.FAILED, f"it failed half way: {describe_fault(error)}", None


async def _pin(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, PinsArtifacts):
        return Outcome.REFUSED, f"{request.engine_id} runs no artifacts", None
    target = f"job:{request.data['job_id']}"
    scope = pin_scope(target, request.data["job_version"], None, request.operation.id)
    details = await engine.pin_artifact(scope, request.data.get("url"))
    return Outcome.DONE, f"pinned to {details.get('sha256')}", details


async def _take_savepoint(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, TakesSavepoints):
        return Outcome.REFUSED, f"{request.engine_id} takes no savepoints", None
    task_id, attempt = UUID(request.data["task_id"]), request.data["attempt"]
    watched, name = Watched(run_key(task_id, attempt), attempt), str(request.operation.id)
    await engine.take_savepoint(watched, name, stop=request.data["stop"])
    while True:
        found = await engine.savepoint(watched, name)
        if found is not None and found.path:
            return Outcome.DONE, f"savepoint {found.path}", {"path": found.path}
        if found is not None and found.failure:
            return Outcome.FAILED, found.failure, None
        await asyncio.sleep(LOOK_SECONDS)


async def _annotate(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, Annotates):
        return Outcome.REFUSED, f"{request.engine_id} keeps no notes of its runs", None
    task_id, attempt, note = UUID(request.data["task_id"]), request.data["attempt"], request.data["note"]
    await engine.annotate(Watched(run_key(task_id, attempt), attempt, request.data["handle"]), note)
    return Outcome.DONE, "the run has this note", {"note": note}


async def _pause_dag(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, PausesDags):
        return Outcome.REFUSED, f"{request.engine_id} has no DAGs", None
    dag_id, paused = request.data["dag_id"], request.data["paused"]
    await engine.pause_dag(dag_id, paused=paused)
    return Outcome.DONE, f"DAG {dag_id} is {'paused' if paused else 'active'}", {"dag_id": dag_id, "is_paused": paused}


async def _control_job(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, ControlsJobs):
        return Outcome.REFUSED, f"{request.engine_id} is no Oozie server", None
    details = await engine.control_job(OozieControlData.model_validate(request.data))
    return Outcome.DONE, f"{details['job']} is {details['state']}"[:2000], details


async def _show_job(engine: Engine, request: EngineRequest) -> Result:
    if not isinstance(engine, ControlsJobs):
        return Outcome.REFUSED, f"{request.engine_id} is no Oozie server", None
    details = await engine.show_job(OozieShowData.model_validate(request.data))
    return Outcome.DONE, f"the {details['document']} of {details['job']}", details


_CARRY_OUT: Final[Mapping[str, Callable[[Engine, EngineRequest], Awaitable[Result]]]] = {
    "artifact.check": _pin,
    "task.savepoint": _take_savepoint,
    "task.annotate": _annotate,
    "dag.pause": _pause_dag,
    "oozie.control": _control_job,
    "oozie.show": _show_job,
}
