"""Pipelines with a real executor, on real Kafka and PostgreSQL."""

import uuid
from datetime import datetime
from typing import Any

from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.requests import PlanCancel, PlanPause
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.task_commands import TasksEnsure
from signalbox_contracts.vocabulary import RESULT_BYTES
from signalbox_planner.store import progress
from support.planner import Planners, command, request_pipeline
from support.service_fixture import until


def step(id: str, *depends_on: Any, script: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    work = {"kind": "scripted", "script": script or {}}
    return {"id": id, "engine": "e1", "work": work, "depends_on": list(depends_on), **more}


def pipeline(*steps: dict[str, Any], **more: Any) -> Pipeline:
    return Pipeline.model_validate({"id": "daily", "name": "Daily", "steps": list(steps), **more})


async def sent(planners: Planners, plan: uuid.UUID) -> list[Any]:
    """The tasks of a plan in the order in which they were sent."""
    commands = await planners.commands(plan)
    return [task for one in commands if isinstance(one, TasksEnsure) for task in one.data.tasks]


async def test_a_diamond_runs_in_order_and_a_step_reads_the_result_of_another(planners: Planners) -> None:
    request = request_pipeline(
        pipeline(
            step("extract", script={"result": {"rows": 7}}),
            step("left", "extract", matrix={"part": ["a", "b"]}, script={"result": "{{ params.part }}"}),
            step("right", "extract", script={"result": "{{ steps.extract.result.rows }} {{ event_date }}"}),
            step("join", "left", "right", "one", script={"result": "{{ steps.one.result[0] }}"}),
            step("never", {"step": "left", "when": "on_failure"}, required=False),
            step("monthly", "join", condition="{{ params.full }}"),
            step("one", "extract", matrix={"part": ["all"]}, script={"result": "{{ params.part }}"}),
            params={"full": {"type": "boolean", "default": False}},
        )
    )
    plan = request.data.plan_id
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request)
        await planners.until_state(plan, "SUCCEEDED")
    tasks = await sent(planners, plan)
    keys = [task.item_key for task in tasks]
    assert (keys[0], keys[-1]) == ("extract", "join")
    assert {task.item_key for task in tasks} == {"extract", "left/1", "left/2", "right", "one", "join"}
    assert sorted(task.work.script["result"] for task in tasks if task.step == "left") == ["a", "b"]
    (right,) = [task for task in tasks if task.step == "right"]
    assert right.work.script["result"].startswith("7 20")
    assert tasks[-1].work.script["result"] == "all", "a matrix of one value has a list of one result"
    last = (await planners.plan_states(plan))[-1].data
    assert {one.id: str(one.state) for one in last.steps} == {
        "extract": "SUCCEEDED", "left": "SUCCEEDED", "right": "SUCCEEDED", "join": "SUCCEEDED",
        "never": "SKIPPED", "monthly": "SKIPPED", "one": "SUCCEEDED",
    }  # fmt: skip
    assert "condition does not hold" in last.steps[5].reason
    assert (last.counts.total, last.counts.succeeded, last.counts.skipped) == (8, 6, 2)
    skipped = {item.key: item for page in await planners.pages(plan) for item in page.data.items if item.reason}
    assert skipped["never"].decision == "skip"
    assert await planners.starts(plan) == {1: 6}


async def test_a_failing_branch_is_compensated_newest_first_and_the_pipeline_fails(planners: Planners) -> None:
    request = request_pipeline(
        pipeline(
            step("load"),
            step("publish", "load"),
            step("check", "publish", script={"exit_code": 1}),
            step("report", "check"),
            {**step("undo_load"), "compensates": "load"},
            {**step("undo_publish"), "compensates": "publish"},
            {**step("undo_check"), "compensates": "check"},
        )
    )
    plan = request.data.plan_id
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request)
        await planners.until_state(plan, "FAILED")
    assert [task.item_key for task in await sent(planners, plan)] == [
        "load", "publish", "check", "undo_publish", "undo_load"
    ]  # fmt: skip
    last = (await planners.plan_states(plan))[-1].data
    reasons = {one.id: one.reason for one in last.steps}
    assert "exit" in reasons["check"], "a failed step says why"
    assert last.reason == f"step 'check' failed: {reasons['check']}"


async def test_a_step_whose_template_fails_is_failed_with_its_reason(planners: Planners) -> None:
    request = request_pipeline(
        pipeline(
            step("a", script={"result": {"rows": 7}}), step("b", "a", script={"result": "{{ steps.a.result.lines }}"})
        )
    )  # fmt: skip
    plan = request.data.plan_id
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request)
        await planners.until_state(plan, "FAILED")
    items = [item for page in await planners.pages(plan) for item in page.data.items if item.key == "b"]
    assert "work of 'b'" in items[-1].reason
    assert items[-1].state == "FAILED"


async def test_a_cancelled_pipeline_starts_nothing_more_and_compensates(planners: Planners) -> None:
    request = request_pipeline(
        pipeline(
            step("load"),
            step("slow", "load", script={"run_seconds": 60}),
            step("after", "slow"),
            {**step("undo"), "compensates": "load"},
        )
    )
    plan = request.data.plan_id
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request)
        await planners.until_plan(plan, "counts::json->>'succeeded'", lambda n: n == "1")
        await planners.executors.send(command(PlanCancel, plan, kill=True))
        await planners.until_state(plan, "CANCELLED")
    last = (await planners.plan_states(plan))[-1].data
    assert {one.id: str(one.state) for one in last.steps} == {
        "load": "SUCCEEDED", "slow": "CANCELLED", "after": "CANCELLED", "undo": "SUCCEEDED"
    }  # fmt: skip


async def step_states(planners: Planners, plan: uuid.UUID) -> dict[str, str]:
    return {one.id: str(one.state) for one in (await planners.plan_states(plan))[-1].data.steps}


async def test_a_cancel_at_each_state_of_a_pipeline_stops_and_undoes_what_that_state_says(planners: Planners) -> None:
    """While it runs, while it is paused, while a failure is undone, while a cancel is undone, and after its end."""
    held = {"held": True}

    def of(work: dict[str, Any], undo: dict[str, Any] | None = None) -> Any:
        undoing = [{**step(f"undo_{name}", script=undo), "compensates": name} for name in ("load", "work")]
        return request_pipeline(
            pipeline(step("load"), step("work", "load", script=work), step("after", "work"), *undoing)
        )  # fmt: skip

    requests = {
        "runs": of(held), "paused": of(held), "undoes a failure": of({"exit_code": 1}, held),
        "undoes a cancel": of(held, held), "ended": of({}),
    }  # fmt: skip
    plans = {name: request.data.plan_id for name, request in requests.items()}

    async def cancel(name: str, *, kill: bool) -> Any:
        sent = command(PlanCancel, plans[name], kill=kill)
        await planners.executors.send(sent)
        return sent

    async with planners.running(), planners.executors.running():
        await planners.executors.send(*requests.values())
        for name in ("runs", "paused", "undoes a cancel"):
            await planners.until_running(plans[name], task_id(plans[name], "work"))
        await planners.executors.send(command(PlanPause, plans["paused"]))
        undo = task_id(plans["undoes a failure"], "undo_load")
        await planners.until_running(plans["undoes a failure"], undo)
        await planners.until_state(plans["paused"], "PAUSED")
        await planners.until_state(plans["ended"], "SUCCEEDED")
        await cancel("runs", kill=False)
        for name in ("paused", "undoes a cancel"):
            await cancel(name, kill=True)
        await cancel("undoes a failure", kill=False)
        await planners.until_state(plans["undoes a failure"], "CANCELLING")
        await planners.executors.release(undo, task_id(plans["runs"], "work"))
        await planners.until_running(plans["undoes a cancel"], task_id(plans["undoes a cancel"], "undo_load"))
        await cancel("undoes a cancel", kill=True)
        late = (await cancel("ended", kill=True)).data.operation_id
        for name, state in (("runs", "CANCELLED"), ("paused", "CANCELLED"), ("undoes a cancel", "CANCELLED")):
            await planners.until_state(plans[name], state)
        await planners.until_state(plans["undoes a failure"], "FAILED", "CANCELLED")

        async def answered() -> bool:
            return late in await planners.answers(late)

        await until(answered, why="the late cancel is answered")
    found = {name: list((await step_states(planners, plan)).values()) for name, plan in plans.items()}
    assert found == {  # load, work, after, undo_load, undo_work
        "runs": ["SUCCEEDED", "SUCCEEDED", "CANCELLED", "SUCCEEDED", "SUCCEEDED"],
        "paused": ["SUCCEEDED", "CANCELLED", "CANCELLED", "SUCCEEDED", "SKIPPED"],
        "undoes a failure": ["SUCCEEDED", "FAILED", "SKIPPED", "SUCCEEDED", "SKIPPED"],
        "undoes a cancel": ["SUCCEEDED", "CANCELLED", "CANCELLED", "CANCELLED", "SKIPPED"],
        "ended": ["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "SKIPPED", "SKIPPED"],
    }
    assert [task.item_key for task in await sent(planners, plans["runs"])] == ["load", "work", "undo_work", "undo_load"]
    answer = (await planners.answers(late))[late]
    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, "plan has ended: it is SUCCEEDED")


async def test_another_planner_process_goes_on_with_a_pipeline_that_one_began(planners: Planners) -> None:
    """What a plan runs is read back from its row: a process that died took what it remembered along."""
    request = request_pipeline(pipeline(step("a", script={"held": True}), step("b", "a", retries={"max_attempts": 2})))
    plan = request.data.plan_id
    async with planners.executors.running():
        async with planners.running():
            await planners.executors.send(request)
            await planners.until_running(plan, task_id(plan, "a"))
        progress.cached.clear()
        async with planners.running():
            await planners.executors.release(task_id(plan, "a"))
            await planners.until_state(plan, "SUCCEEDED")
    last = (await sent(planners, plan))[-1]
    assert (last.item_key, last.retries.max_attempts) == ("b", 2)


async def test_a_pipeline_that_cannot_be_read_back_stops_no_other_plan(planners: Planners) -> None:
    broken = request_pipeline(pipeline(step("a", script={"held": True}), step("b", "a")))
    plan = broken.data.plan_id
    async with planners.executors.running():
        async with planners.running():
            await planners.executors.send(broken)
            await planners.until_running(plan, task_id(plan, "a"))
        await planners.rows("UPDATE plan_pipeline SET pipeline = '{}' WHERE plan_id = $1", plan)
        await planners.rows("UPDATE plan SET ready_items = 1, query_at = now() WHERE id = $1", plan)
        progress.cached.clear()
        other = request_pipeline(pipeline(step("a"), step("b", "a")))
        async with planners.running() as service:
            for loop in service.loops:
                if loop.name in ("advance", "reconcile"):
                    await loop.one_pass()
            await planners.executors.send(other)
            await planners.until_state(other.data.plan_id, "SUCCEEDED")
    await planners.rows("DELETE FROM plan WHERE id = $1", plan)


async def test_a_result_of_16_kib_is_read_by_the_next_step_and_one_byte_more_fails_the_attempt(
    planners: Planners,
) -> None:
    def of(size: int) -> Pipeline:
        text = '"' + "x" * (size - 2) + '"'
        return pipeline(
            step("a", script={"result_text": text}),
            step("b", "a", script={"result": "{{ steps.a.result | length }}"}),
        )  # fmt: skip

    full, over = request_pipeline(of(RESULT_BYTES)), request_pipeline(of(RESULT_BYTES + 1))
    async with planners.running(), planners.executors.running():
        await planners.executors.send(full, over)
        await planners.until_state(full.data.plan_id, "SUCCEEDED")
        await planners.until_state(over.data.plan_id, "FAILED")
    assert (await sent(planners, full.data.plan_id))[-1].work.script["result"] == str(RESULT_BYTES - 2)
    assert [task.item_key for task in await sent(planners, over.data.plan_id)] == ["a"]
    last = (await planners.plan_states(over.data.plan_id))[-1].data
    assert f"the result has {RESULT_BYTES + 1} bytes: at most {RESULT_BYTES} are allowed" in last.reason


async def test_the_failed_part_runs_again_with_reused_results(planners: Planners) -> None:
    steps = (
        step("a", script={"result": {"rows": 7}}),
        step("b", "a", script={"exit_code": 1}),
        step("c", "b"),
        step("d", "a"),
    )
    first = request_pipeline(pipeline(*steps))
    fixed = pipeline(
        steps[0], step("b", "a", script={"result": "{{ steps.a.result.rows }}"}), *steps[2:], version=2
    )  # fmt: skip
    rerun = {"plan_id": first.data.plan_id, "scope": "failed"}
    again = request_pipeline(fixed, rerun=rerun)
    only = request_pipeline(fixed, rerun={**rerun, "scope": "only", "steps": ("d",)})
    refused = request_pipeline(fixed, rerun={**rerun, "scope": "from", "steps": ("c",)})
    async with planners.running(), planners.executors.running():
        await planners.executors.send(first)
        await planners.until_state(first.data.plan_id, "FAILED")
        await planners.executors.send(again, only, refused)
        await planners.until_state(again.data.plan_id, "SUCCEEDED")
        await planners.until_state(only.data.plan_id, "SUCCEEDED")
        await planners.until_state(refused.data.plan_id, "REFUSED")
    assert [task.item_key for task in await sent(planners, again.data.plan_id)] == ["b", "c"]
    assert [task.item_key for task in await sent(planners, only.data.plan_id)] == ["d"]
    last = (await planners.plan_states(again.data.plan_id))[-1].data
    assert {one.id: str(one.state) for one in last.steps} == {
        "a": "REUSED", "b": "SUCCEEDED", "c": "SUCCEEDED", "d": "REUSED"
    }  # fmt: skip
    assert last.parent == first.data.plan_id
    reason = (await planners.plan_states(refused.data.plan_id))[-1].data.reason
    assert "'c' waits for 'b', which is FAILED" in reason


async def test_the_date_is_that_of_the_request_however_late_it_runs_or_runs_again(
    planners: Planners,
) -> None:
    """A request of 23:59:59 that is handled days later, its failed step run again a day after: one event date."""
    fails = step("load", "ingest", script={"exit_code": 1})
    steps = (step("ingest", script={"result": "{{ event_date }} {{ params.mode }}"}), fails)
    params = {"mode": {"type": "string", "choices": ["initial_load", "incremental"], "default": "incremental"}}
    fixed = step("load", "ingest", script={"result": "{{ steps.ingest.result }} {{ event_date }}"})

    def at(request: Any, instant: str) -> Any:
        return request.model_copy(update={"time": datetime.fromisoformat(instant)})

    evening = at(request_pipeline(pipeline(*steps, params=params), mode="initial_load"), "2026-03-28T23:59:59Z")
    night = at(request_pipeline(pipeline(steps[0], fixed, params=params)), "2026-03-29T00:00:01Z")
    rerun = {"plan_id": evening.data.plan_id, "scope": "failed"}
    again = at(
        request_pipeline(pipeline(steps[0], fixed, params=params, version=2), rerun=rerun), "2026-03-30T00:00:01Z"
    )
    async with planners.running(), planners.executors.running():
        await planners.executors.send(evening, night)
        await planners.until_state(evening.data.plan_id, "FAILED")
        await planners.until_state(night.data.plan_id, "SUCCEEDED")
        await planners.executors.send(again)
        await planners.until_state(again.data.plan_id, "SUCCEEDED")
    (load,) = await sent(planners, again.data.plan_id)
    assert load.work.script["result"] == "2026-03-27 initial_load 2026-03-27", "date, mode and result are the first's"
    assert [task.work.script["result"] for task in await sent(planners, night.data.plan_id)] == [
        "2026-03-28 incremental", "2026-03-28 incremental 2026-03-28"
    ]  # fmt: skip
