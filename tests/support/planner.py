"""A place for a planner: its own schema, beside an executor's with a scripted engine, on topics they share."""

import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from signalbox_chassis.persistence.migrations import migrate, provision
from signalbox_chassis.runtime.service import Service
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.plans import PlanItems, PlanStated
from signalbox_contracts.messages.requests import (
    PlanRequest,
    PlanRequestData,
    RequestedItem,
    RunItems,
    RunJob,
    RunPipeline,
)
from signalbox_contracts.messages.states import OperationResult, OperationResultData
from signalbox_contracts.messages.tasks import TaskRecord, TasksStated, TasksStatedData
from signalbox_contracts.states import TaskState
from signalbox_contracts.topics import topic
from signalbox_planner import MIGRATIONS
from signalbox_planner.app import planner
from signalbox_planner.settings import PlannerSettings
from support.executor import TOPICS as EXECUTOR_TOPICS
from support.executor import Stand, Store
from support.service_fixture import until

TOPICS = (*EXECUTOR_TOPICS, *(topic(name) for name in ("requests.v1", "plans.v1", "ticks.v1", "triggers.v1")))
GATEWAY = "signalbox/api-gateway"


class Planners(Store):
    """The planner's schema, and the executors it commands."""

    def __init__(self, url: str, schema: str, executors: Stand) -> None:
        super().__init__(url, schema)
        self.executors = executors

    def settings(self, **changes: Any) -> PlannerSettings:
        values: dict[str, Any] = {
            "kafka_bootstrap": self.executors.bootstrap, "database_url": SecretStr(self.url),
            "database_schema": self.schema, "topic_prefix": self.executors.prefix,
            "group_prefix": self.executors.prefix, "session_timeout_seconds": 3.0, "drain_seconds": 5.0, **changes,
        }  # fmt: skip
        return PlannerSettings(**values)

    @asynccontextmanager
    async def running(self, **changes: Any) -> AsyncGenerator[Service]:
        service = planner(self.settings(**changes))
        await service.start()
        try:
            yield service
        finally:
            await service.stop()

    async def plan_states(self, plan: uuid.UUID) -> list[PlanStated]:
        """Every `plan.state` of a plan so far, in order."""
        published = await self.executors.published(topic("plans.v1"))
        return [event for event in published if isinstance(event, PlanStated) and event.data.plan_id == plan]

    async def pages(self, plan: uuid.UUID) -> list[PlanItems]:
        """Every `plan.items` of a plan so far, in order."""
        published = await self.executors.published(topic("plans.v1"))
        return [event for event in published if isinstance(event, PlanItems) and event.data.plan_id == plan]

    async def commands(self, plan: uuid.UUID) -> list[Event[Any]]:
        """Every command to the executors about a plan so far, in order."""
        commands = await self.executors.published(topic("task-commands.v1"))
        return [event for event in commands if event.subject == str(plan)]

    async def starts(self, *plans: uuid.UUID) -> Counter[int]:
        """How many tasks of these plans were started how often on the engine."""
        found: Counter[int] = Counter()
        started = await self.executors.starts()
        for plan in plans:
            rows = await self.executors.rows("SELECT id FROM task WHERE plan_id = $1", plan)
            mine = {str(row["id"]) for row in rows}
            found.update(times for key, times in started.items() if key.removeprefix("sb-")[:36] in mine)
        return found

    async def answers(self, *operations: uuid.UUID) -> dict[uuid.UUID, OperationResultData]:
        """The `operation.result` of these operations."""
        results = await self.executors.states_published(OperationResult)
        return {one.data.operation_id: one.data for one in results if one.data.operation_id in operations}

    async def until_state(self, plan: uuid.UUID, *states: str, seconds: float = 30) -> None:
        async def there() -> bool:
            return await self.value("SELECT state FROM plan WHERE id = $1", plan) in states

        try:
            await until(there, seconds=seconds, why=f"plan in {states}")
        except BaseException:
            for row in await self.rows("SELECT state, counts, reason, rules_confirmed FROM plan WHERE id = $1", plan):
                print(dict(row))
            for row in await self.rows("SELECT key, state, reason, task_version FROM item WHERE plan_id = $1", plan):
                print(dict(row))
            for row in await self.rows("SELECT event_type, error FROM dead_letter"):
                print(dict(row))
            raise

    async def until_running(self, plan: uuid.UUID, task: uuid.UUID, *, seconds: float = 30) -> None:
        """Wait until the executor has recorded the task's run."""

        async def there() -> bool:
            state = "SELECT state FROM task WHERE plan_id = $1 AND id = $2"
            return await self.executors.value(state, plan, task) == "RUNNING"

        await until(there, seconds=seconds, why=f"task {task} runs")

    async def until_plan(
        self, plan: uuid.UUID, column: str, holds: Callable[[Any], bool], *, seconds: float = 30
    ) -> None:
        async def there() -> bool:
            return holds(await self.value(f"SELECT {column} FROM plan WHERE id = $1", plan))  # noqa: S608

        await until(there, seconds=seconds, why=column)


async def make_planners(admin_url: str, executors: Stand) -> Planners:
    name = f"p{uuid.uuid4().hex[:12]}"
    url = await provision(admin_url, role=name, password=uuid.uuid4().hex, schema=name)
    await migrate(url, schema=name, versions=MIGRATIONS)
    return Planners(url, name, executors)


def item(number: int, **script: Any) -> RequestedItem:
    return RequestedItem(key=f"item/{number:06}", engine="e1", work=ScriptedWork.model_validate({"script": script}))


def request_job(job: Job, *, plan: uuid.UUID | None = None, rules: Rules | None = None, **params: Any) -> PlanRequest:
    """Run one job."""
    return _request(plan or uuid.uuid4(), what=RunJob(job=job, params=params), rules=rules or Rules(), name=job.name)


def request_pipeline(
    pipeline: Pipeline, *, plan: uuid.UUID | None = None, rerun: dict[str, Any] | None = None, **params: Any
) -> PlanRequest:  # fmt: skip
    """Run a pipeline, or a part of an earlier plan again."""
    what = RunPipeline.model_validate({"pipeline": pipeline, "params": params, "rerun": rerun})
    return _request(plan or uuid.uuid4(), what=what, rules=pipeline.rules, name=pipeline.name)


def request_items(
    items: Sequence[RequestedItem], *, plan: uuid.UUID | None = None, rules: Rules | None = None, a_page: int = 200
) -> list[PlanRequest]:
    """Run a list, in pages."""
    plan = plan or uuid.uuid4()
    pages = [tuple(items[n : n + a_page]) for n in range(0, len(items), a_page)]
    return [
        _request(
            plan, page=number, pages=len(pages), items=page, rules=rules or Rules(), name="a list",
            what=RunItems() if number == len(pages) else None,
        )
        for number, page in enumerate(pages, 1)
    ]  # fmt: skip


def _request(plan: uuid.UUID, **data: Any) -> PlanRequest:
    request = PlanRequestData(plan_id=plan, actor="user:ann", definitions_revision=1, **data)
    return PlanRequest.of(request, subject=plan, source=GATEWAY, time=datetime.now(UTC), aggregateversion=0)


def command(event: Any, plan: uuid.UUID, **data: Any) -> Any:
    """A command about one plan."""
    kind = event.model_fields["data"].annotation
    values = {"operation_id": uuid.uuid4(), "actor": "user:ann", "plan_id": plan, **data}
    return event.of(kind(**values), subject=plan, source=GATEWAY, time=datetime.now(UTC), id=uuid.uuid4())


def running(plan: uuid.UUID, task: uuid.UUID, key: str, version: int, state: str = "RUNNING") -> TasksStated:
    """The fact of one task, from an executor that has confirmed no rules."""
    now = datetime.now(UTC)
    record = TaskRecord(
        task_id=task, item_key=key, version=version, state=TaskState(state), engine="e1", queued_at=now,
        observed_at=now,
    )  # fmt: skip
    data = TasksStatedData(plan_id=plan, tasks=(record,))
    return TasksStated.of(data, subject=plan, source="signalbox/executor", time=now, aggregateversion=0)
