"""The daily pipeline for thirty simulated days, with three outages and one backfill: thirty dates, each once."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from signalbox_chassis.messaging.topics import create_topics
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData
from signalbox_contracts.messages.operations import ScheduleBackfill
from signalbox_contracts.messages.task_commands import TasksEnsure
from signalbox_contracts.topics import topic
from support.deadlines import wait_until
from support.executor import Stand, make_store, operation, remove_store
from support.planner import GATEWAY, TOPICS, Planners, make_planners
from support.scheduler import Schedulers, make_schedulers, simulate_clock
from support.scripted import scripted_server

FIRST = datetime(2026, 3, 10, 2, tzinfo=UTC)
DAYS = 30
WITHOUT_SCHEDULER = range(5, 8)
WITHOUT_PLANNER = range(12, 14)
WITHOUT_EXECUTOR = range(18, 20)
PAUSED = range(24, 27)
"""Its ticks are skipped, and a backfill fires them afterwards."""
STEP: dict[str, Any] = {"engine": "e1", "retries": {"max_attempts": 3, "delay_seconds": 0, "max_delay_seconds": 0}}


def step(id: str, before: str = "", **script: Any) -> dict[str, Any]:
    work = {"kind": "scripted", "script": {"result": "{{ params.mode }} {{ event_date }}", **script}}
    return {"id": id, "work": work, "depends_on": [before] if before else [], **STEP}


PIPELINE = Pipeline.model_validate(
    {
        "id": "daily", "name": "Daily", "params": {"mode": {"type": "string", "default": "initial_load"}},
        "steps": [step("ingestion", lose_answers=1), step("loader", "ingestion", lose_requests=1)],
    }
)  # fmt: skip


def rule(*, paused: bool = False) -> Schedule:
    return Schedule.model_validate(
        {
            "id": "nightly", "name": "Nightly", "target": {"kind": "pipeline", "id": "daily"}, "cron": "0 2 * * *",
            "params": {"mode": "incremental"}, "missed": {"policy": "all", "max": 10}, "overlap": "queue",
            "paused": paused,
        }
    )  # fmt: skip


class Beside(Schedulers):
    """Schedulers on the topics of others."""

    def __init__(self, made: Schedulers, prefix: str) -> None:
        super().__init__(made.url, made.schema, made.bootstrap, "", made.folder)
        self._prefix = prefix

    @property
    def prefix(self) -> str:
        return self._prefix


@pytest_asyncio.fixture
async def planners(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Planners]:
    with scripted_server(tmp_path) as url:
        store = await make_store(postgres_url)
        stand = Stand(store.url, store.schema, kafka_bootstrap, url, tmp_path)
        made = await make_planners(postgres_url, stand)
        await create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix)
        await stand.register()
        yield made
        await remove_store(made, postgres_url)
        await remove_store(store, postgres_url)


@pytest.mark.timeout(900)
async def test_thirty_days_of_the_daily_pipeline_with_three_outages_and_a_backfill_are_thirty_dates_each_once(
    planners: Planners, postgres_url: str, kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedulers = Beside(
        await make_schedulers(postgres_url, kafka_bootstrap, tmp_path), planners.executors.prefix
    )  # fmt: skip
    clock = await simulate_clock(schedulers, postgres_url, monkeypatch)
    await clock.set(FIRST - timedelta(hours=1))
    data = DefinitionSnapshotData(kind="pipeline", id="daily", revision=1, definition=PIPELINE)
    await planners.executors.send(
        DefinitionSnapshot.of(
            data, subject="pipeline:daily", source=GATEWAY, time=datetime.now(UTC), aggregateversion=1
        )
    )
    await schedulers.define(rule(), revision=2, at=FIRST - timedelta(hours=1))
    services = {
        "scheduler": lambda: schedulers.scheduling(tick_keep_days=3660), "planner": planners.running,
        "executor": planners.executors.running,
    }  # fmt: skip
    stacks = {name: AsyncExitStack() for name in services}
    for name, service in services.items():
        await stacks[name].enter_async_context(service())

    async def until_ticks(count: int) -> None:
        async def there() -> bool:
            return await schedulers.value("SELECT count(*) FROM tick") == count

        await wait_until(there, seconds=60, why=f"{count} ticks")

    async def until_ended(count: int) -> None:
        async def there() -> bool:
            return await planners.value("SELECT count(*) FROM plan WHERE state = 'SUCCEEDED'") == count

        await wait_until(there, seconds=90, why=f"{count} days succeeded")

    try:
        ended, away = 0, ""
        for day in range(DAYS):
            out = {
                "scheduler": day in WITHOUT_SCHEDULER, "planner": day in WITHOUT_PLANNER,
                "executor": day in WITHOUT_EXECUTOR,
            }  # fmt: skip
            missing = next((name for name, is_out in out.items() if is_out), "")
            if away and not missing:
                await stacks[away].enter_async_context(services[away]())
            elif missing and not away:
                await stacks[missing].aclose()
            away = missing
            if day in (PAUSED.start, PAUSED.stop):
                paused = day == PAUSED.start
                await schedulers.define(rule(paused=paused), revision=3 if paused else 4)

                async def known(paused: bool = paused) -> bool:
                    return await schedulers.value("SELECT max(revision) FROM schedule") == (3 if paused else 4)

                await wait_until(known, why="the pause is known")
            await clock.set(FIRST + timedelta(days=day, seconds=5))
            if away != "scheduler":
                await until_ticks(day + 1)
            ended += day not in PAUSED
            if not away:
                await until_ended(ended)
        backfill = operation(
            ScheduleBackfill, "schedule:nightly", schedule_id="nightly", from_at=FIRST,
            until_at=FIRST + timedelta(days=DAYS - 1), definitions_revision=4,
        )  # fmt: skip
        await schedulers.send(backfill, backfill)
        await until_ended(DAYS)
    finally:
        for stack in stacks.values():
            await stack.aclose()
        await remove_store(schedulers, postgres_url)
    rows = await planners.rows("SELECT id, state, spec::json ->> 'event_date' AS day FROM plan")
    assert {row["state"] for row in rows} == {"SUCCEEDED"}
    dates = [(FIRST + timedelta(days=day - 1)).date() for day in range(DAYS)]
    assert Counter(date.fromisoformat(row["day"]) for row in rows) == Counter(dates), "thirty dates, each once"
    commands = await planners.executors.published(topic("task-commands.v1"))
    results = Counter(
        (task.step, str(task.work.script["result"]))
        for one in commands
        if isinstance(one, TasksEnsure)
        for task in one.data.tasks
        if task.work.kind == "scripted"
    )
    assert set(results) == {(name, f"incremental {day}") for name in ("ingestion", "loader") for day in dates}
    assert await planners.starts(*(row["id"] for row in rows)) == {1: 2 * DAYS}
