"""Operations and their answers, what is said of engines, and the spans of a task over two executors."""

import json
import signal
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast
from urllib.error import HTTPError
from uuid import UUID, uuid4

from signalbox_contracts.definitions.work import ScriptedWork
from signalbox_contracts.messages.operations import EngineTest, LogsFollow, PlanRepublish
from signalbox_contracts.messages.states import (
    BreakerState,
    EngineRecord,
    EngineStated,
    Intake,
    OperationResult,
    Outcome,
)
from signalbox_contracts.states import TaskState
from signalbox_local.otlp import OtlpReceiver
from support.executor import Stand, ensure, operation, rules_of, spec
from support.proofs import proves
from support.service_fixture import until


def spans_of(otlp: OtlpReceiver, trace_id: str) -> list[dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"{otlp.endpoint}/traces/{trace_id}", timeout=5) as answer:
            return cast("list[dict[str, Any]]", json.load(answer))
    except HTTPError as none_yet:
        if none_yet.code == 404:
            return []
        raise


async def answer_to(stand: Stand, request: EngineTest | PlanRepublish | LogsFollow) -> OperationResult:
    """The one result of an operation."""
    found: list[OperationResult] = []

    async def answered() -> bool:
        results = await stand.states_published(OperationResult)
        found[:] = [one for one in results if one.data.operation_id == request.data.operation_id]
        return bool(found)

    await until(answered, seconds=20, why="the operation was answered")
    assert len(found) == 1
    return found[0]


async def in_state(stand: Stand, state: str, count: int = 1) -> None:
    async def there() -> bool:
        return (await stand.states()).get(state, 0) >= count

    await until(there, why=f"{count} tasks {state}")


@proves("executor.store.operations: whoever removes the row")
async def test_a_connection_is_tested_as_it_is_registered_and_the_answer_says_what_was_found(executors: Stand) -> None:
    await executors.register()
    await executors.register("dead", revision=2, url="http://127.0.0.1:1")
    requests = [
        operation(EngineTest, f"engine:{id}", engine_id=id, definitions_revision=revision)
        for id, revision in (("e1", 1), ("dead", 2), ("nowhere", 2), ("later", 3))
    ]
    async with executors.running():
        await executors.send(*requests)
        fine, dead, nowhere = [await answer_to(executors, one) for one in requests[:3]]
        assert (fine.data.outcome, fine.data.reason, fine.data.operation) == (Outcome.DONE, "it answers", "engine.test")
        assert dead.data.outcome is Outcome.FAILED
        assert "does not answer" in dead.data.reason
        assert (nowhere.data.outcome, nowhere.data.reason) == (Outcome.REFUSED, "there is no engine nowhere")
        assert await executors.value("SELECT count(*) FROM operation") == 1, "its definition has not been seen yet"
        await executors.register("later", revision=3)
        assert (await answer_to(executors, requests[3])).data.outcome is Outcome.DONE


async def test_plans_are_republished_complete_with_every_transition_not_published_before(executors: Stand) -> None:
    plans = [uuid4(), uuid4()]
    await executors.register()
    async with executors.running():
        for plan in plans:
            await executors.send(rules_of(plan), ensure(plan, [spec(plan, number) for number in range(150)]))
        await in_state(executors, "SUCCEEDED", 300)
        before = sum(len(fact.data.tasks) for fact in await executors.facts())
        request = operation(PlanRepublish, f"plan:{plans[0]}", plan_ids=(*plans, UUID(int=1)))
        await executors.send(request)
        answer = await answer_to(executors, request)
        assert (answer.data.outcome, answer.data.details) == (Outcome.DONE, {"tasks": 300})

        async def published() -> bool:
            return sum(len(fact.data.tasks) for fact in await executors.facts()) >= before + 300

        await until(published, why="all were said again")
    last = {task.task_id: task.state for fact in await executors.facts() for task in fact.data.tasks}
    assert set(last.values()) == {TaskState.SUCCEEDED}


async def test_a_log_is_followed_for_a_while_and_only_of_an_attempt_there_is(executors: Stand) -> None:
    plan = uuid4()
    await executors.register()
    async with executors.running():
        task = spec(plan, 0, work=ScriptedWork(script={"never_ends": True}))
        await executors.send(rules_of(plan), ensure(plan, [task]))
        await in_state(executors, "RUNNING")
        target = f"task:{task.task_id}"
        first, wrong = (
            operation(LogsFollow, target, plan_id=plan, task_id=task.task_id, attempt=attempt, for_seconds=30)
            for attempt in (1, 2)
        )
        await executors.send(first, wrong)
        assert (await answer_to(executors, first)).data.outcome is Outcome.DONE
        assert (await answer_to(executors, wrong)).data.outcome is Outcome.REFUSED
    found = await executors.rows("SELECT attempt, until_at > now() + interval '15 s' AS long FROM log_follow")
    assert [(row["attempt"], row["long"]) for row in found] == [(1, True)]


async def test_engines_are_stated_when_something_about_them_changed_and_once_a_second_at_most(executors: Stand) -> None:
    plan = uuid4()
    await executors.register(breaker={"failures": 1, "open_seconds": 1}, concurrency=20)
    async with executors.running():
        tasks = [spec(plan, number, work=ScriptedWork(script={"held": True})) for number in range(40)]
        await executors.send(rules_of(plan), ensure(plan, tasks))
        await stated(executors, "it is full", lambda record: record.slots_used == 20 and record.queued > 0)
        await all_released(executors, 40)
        down = spec(plan, 50, work=ScriptedWork(script={"down_seconds": 600}))
        await executors.send(ensure(plan, [down]))
        await stated(executors, "its breaker is open", lambda record: record.breaker is BreakerState.OPEN)
        await executors.engine_is_back()
        await in_state(executors, "SUCCEEDED", 41)
        await executors.register(revision=2, intake="paused")

        await stated(executors, "it is paused", lambda record: record.intake is Intake.PAUSED)
    states = [event.data for event in await executors.states_published(EngineStated)]
    assert [record.version for record in states] == list(range(1, len(states) + 1))
    assert BreakerState.CLOSED in {record.breaker for record in states}
    assert any(record.last_error for record in states)
    times = [event.time for event in await executors.states_published(EngineStated)]
    assert all((later - sooner).total_seconds() > 0.8 for sooner, later in pairwise(times))


async def stated(stand: Stand, what: str, so: Callable[[EngineRecord], bool]) -> None:
    """Return once an engine was stated so."""

    async def is_published() -> bool:
        return any(so(event.data) for event in await stand.states_published(EngineStated))

    await until(is_published, seconds=60, why=f"an engine was stated: {what}")


async def all_released(stand: Stand, count: int) -> None:
    """Let held runs end, and those that begin meanwhile, until so many tasks succeeded."""

    async def ended() -> bool:
        await stand.release(*(row["id"] for row in await stand.rows("SELECT id FROM task WHERE state = 'RUNNING'")))
        return (await stand.states()).get("SUCCEEDED", 0) >= count

    await until(ended, seconds=90, why=f"{count} tasks succeeded")


async def test_the_spans_of_a_task_are_one_trace_over_a_take_over(executors: Stand, otlp: OtlpReceiver) -> None:
    """The executor that began the submit is killed; the one that goes on with it adds to the same trace."""
    plan, trace_id = uuid4(), uuid4().hex
    task = spec(plan, 0, work=ScriptedWork(script={"run_seconds": 0.1}))
    await executors.register()
    victim = executors.spawn(SIGNALBOX_CRASH_AT="executor.before_record")
    await executors.send(rules_of(plan), ensure(plan, [task], traceparent=f"00-{trace_id}-{'1' * 16}-01"))

    async def killed() -> bool:
        return victim.poll() is not None

    await until(killed, seconds=90, why="the first executor is killed")
    assert victim.poll() == -signal.SIGKILL
    async with executors.running(otlp_endpoint=otlp.endpoint):
        await in_state(executors, "SUCCEEDED")

    async def exported() -> bool:
        return {"submit e1", "end"} <= {span["name"] for span in spans_of(otlp, trace_id)}

    await until(exported, seconds=20, why="both spans of the second executor are in the first one's trace")
    spans = {span["name"]: span for span in spans_of(otlp, trace_id)}
    assert {spans[name]["parent_span_id"] for name in ("submit e1", "end")} == {"1" * 16}, "of the task's own message"
