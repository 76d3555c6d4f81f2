"""One bad job never stops the others: listing that breaks, rows that make no state, many jobs at once."""

import uuid
from typing import Any

import pytest

from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.plans import Expected
from signalbox_contracts.messages.reprocessing import ReprocessingStated
from signalbox_contracts.messages.tasks import EndCause
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.topics import topic
from signalbox_reprocessor import listing, loops
from signalbox_reprocessor.facts import INDEXED_ITEM
from signalbox_reprocessor.settings import ReprocessorSettings
from support.deadlines import wait_until
from support.read_model import plan_stated, task_record, tasks_stated
from support.reprocessing import Reprocessors, write_events

MANY = 130
_MANY = """
INSERT INTO job (id, operation_id, config, engine, definitions_revision, project, actor, reason, created_at, planned_at)
SELECT gen_random_uuid(), gen_random_uuid(), '{}', 'process', 1, 'default', 'user:ann', '', now(), now()
FROM generate_series(1, $1)
"""


async def states_of(reprocessors: Reprocessors) -> dict[uuid.UUID, ReprocessingStated]:
    found = [one for one in await reprocessors.published(topic("states.v1")) if isinstance(one, ReprocessingStated)]
    return {one.data.job_id: one for one in found}


async def test_a_job_whose_listing_breaks_says_so_and_runs_once_it_is_mended(
    reprocessors: Reprocessors, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(reprocessors.events / "broken", 1, 1)
    write_events(reprocessors.events / "good", 1, 1)
    broken = str(reprocessors.events / "broken")

    async def list_files(config: ReprocessingConfig, settings: ReprocessorSettings) -> Any:
        if config.local_path == broken:
            raise KeyError("password=hunter2")
        return await listing.list_files(config, settings)

    with monkeypatch.context() as patch:
        patch.setattr(loops, "list_files", list_files)
        job = await reprocessors.ask(local_path=broken)

        async def shows_the_error() -> bool:
            state = (await states_of(reprocessors)).get(job)
            return state is not None and state.data.error is not None

        await wait_until(shows_the_error, why="the job says why it is not listed")
        error = (await states_of(reprocessors))[job].data.error
        assert error is not None
        assert error.startswith("not listed yet, tried again every 30 s: KeyError")
        assert "hunter2" not in error
        await reprocessors.planned(local_path=str(reprocessors.events / "good"))
    await reprocessors.rows("UPDATE job SET listing_until = now()")
    await wait_until(lambda: is_planned(reprocessors, job), why="it is listed once it is mended")
    assert (await reprocessors.job(job))["error"] is None


@pytest.mark.parametrize("plan_first", [False, True])
async def test_a_job_whose_pods_are_refused_says_why(reprocessors: Reprocessors, plan_first: bool) -> None:
    """The facts come in two topics, so either may be read first."""
    write_events(reprocessors.events, 2, 1)
    job = await reprocessors.planned()
    words = "the cluster refuses spec.volumes: may not specify more than 1 volume type"
    refused = task_record(job, 1, TaskState.FAILED, 1, item_key=INDEXED_ITEM, cause=EndCause.REFUSED, error=words)
    facts = [
        tasks_stated(job, refused),
        plan_stated(job, PlanState.FAILED, 2, expected=Expected(items=1, tasks=1, item_pages=1, task_versions=1)),
    ]
    unread = "2 files were not read to their end"
    first, second = reversed(facts) if plan_first else facts
    await reprocessors.send(first)
    await wait_until(lambda: has_error(reprocessors, job, unread if plan_first else words), why="the first is read")
    await reprocessors.send(second)
    await wait_until(lambda: has_error(reprocessors, job, f"{unread}; {words}"), why="the job says both")
    assert (await reprocessors.job(job))["status"] == "failed"


async def has_error(reprocessors: Reprocessors, job: uuid.UUID, error: str) -> bool:
    return (await reprocessors.job(job))["error"] == error


async def is_planned(reprocessors: Reprocessors, job: uuid.UUID) -> bool:
    return (await reprocessors.job(job))["planned_at"] is not None


async def test_what_a_worker_wrote_and_makes_no_state_hides_no_other_job(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 1, 1)
    first = await reprocessors.planned()
    await reprocessors.rows("UPDATE worker SET success_count = -1 WHERE job_id = $1", first)
    second = await reprocessors.planned()

    async def is_shown() -> bool:
        state = (await states_of(reprocessors)).get(second)
        return state is not None and state.data.total_files == 1

    await wait_until(is_shown, why="the other job is shown")


async def test_the_newest_of_many_jobs_that_run_is_shown(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 1, 1)
    await reprocessors.rows(_MANY, MANY)
    job = await reprocessors.planned()
    assert await reprocessors.run_workers(job) == [0]

    async def is_shown() -> bool:
        state = await states_of(reprocessors)
        return job in state and state[job].data.success_count == 1 and len(state) == MANY + 1

    await wait_until(is_shown, seconds=60, why="every job is shown as it is")
