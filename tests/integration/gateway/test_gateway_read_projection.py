"""The read model on real servers: facts published by the test, answers read as the routes read them."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

import pytest_asyncio

from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.dead_letters import DeadLetterOutcome, DeadLetterState, DeadLetterStateData
from signalbox_contracts.messages.plans import Expected, Waiting, WaitReason
from signalbox_contracts.messages.reprocessing import ReprocessingRecord, ReprocessingStatus
from signalbox_contracts.messages.states import (
    EngineRecord,
    EngineStated,
    OperationResult,
    OperationResultData,
    Outcome,
)
from signalbox_contracts.messages.tasks import EndCause, Phase, TaskProgressData, TasksStated
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.topics import topic
from signalbox_gateway.read_model import queries, reprocessing, status, writes
from signalbox_gateway.read_model.progress import load_progress, write_progress
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter
from signalbox_gateway.read_model.rows import plan_row
from support.proofs import proves
from support.read_model import (
    NEEDED,
    NOW,
    ReadModel,
    items_page,
    plan_ended,
    plan_record,
    plan_stated,
    read_model,
    task_record,
    tasks_stated,
)
from support.service_fixture import until

S = TaskState
LIFE = (S.QUEUED, S.CLAIMED, S.SUBMITTING, S.RUNNING, S.SUCCEEDED)
SHORT = (S.QUEUED, S.RUNNING, S.SUCCEEDED)


@pytest_asyncio.fixture
async def model(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[ReadModel]:
    async with read_model(postgres_url, kafka_bootstrap) as made, made.running():
        yield made


async def plan_answer(model: ReadModel, plan: uuid.UUID) -> dict[str, Any] | None:
    async with model.connection() as connection:
        return await queries.plan(connection, plan)


async def until_complete(model: ReadModel, plan: uuid.UUID) -> dict[str, Any]:
    async def complete() -> bool:
        answer = await plan_answer(model, plan)
        return answer is not None and answer["complete"]

    await until(complete, seconds=200, why="the plan is complete in the read model")
    answer = await plan_answer(model, plan)
    assert answer is not None
    return answer


async def until_handled(model: ReadModel, events: int) -> None:
    async def handled() -> bool:
        return int(await model.value("SELECT count(*) FROM inbox")) >= events

    await until(handled, why=f"{events} events handled")


def lives(plan: uuid.UUID, tasks: int, life: Sequence[TaskState] = LIFE) -> list[TasksStated]:
    """Every state of every task, one message for each move of up to 200 tasks."""
    return [
        tasks_stated(plan, *(task_record(plan, n, state, version) for n in range(at, min(at + 200, tasks))))
        for at in range(0, tasks, 200)
        for version, state in enumerate(life, start=1)
    ]


async def rows(model: ReadModel) -> list[Any]:
    """All of what is known of plans and tasks, as it is stored."""
    async with model.connection() as connection:
        found: list[Any] = []
        for query in (
            "SELECT id, version, state, record, complete FROM plan ORDER BY id",
            "SELECT id, version, state, position, item, record FROM task ORDER BY id",
            "SELECT * FROM plan_event ORDER BY 1, 2",
            "SELECT * FROM task_event ORDER BY 1, 2",
            "SELECT * FROM task_attempt ORDER BY 1, 2",
        ):
            found += [tuple(row.values()) for row in await connection.fetch(query)]
        return found


@proves(
    "gateway.read_model.writes: an older version changes nothing",
    "gateway.read_model.writes: a page of an older round",
    "F31",
)
async def test_facts_repeated_and_in_any_order_leave_what_was_published_last(model: ReadModel) -> None:
    """Without the versions in the statements a late fact would bring a task back to life."""
    plan = uuid.uuid4()
    facts: list[Any] = [
        plan_stated(plan, PlanState.RUNNING, 1),
        *(items_page(plan, page, pages=2, each=20) for page in (1, 2)),
        *lives(plan, 40),
        plan_ended(plan, 5, tasks=40, task_versions=200, pages=2),
    ]
    shuffled = random.Random(7).sample(facts * 3, len(facts) * 3)
    # a second copy under another id passes the inbox: only the version is in its way
    again = [event.model_copy(update={"id": str(uuid.uuid4())}) for event in shuffled]
    await model.send(*shuffled)
    await until_handled(model, len(facts))
    answer = await until_complete(model, plan)
    assert (answer["state"], answer["counts"]["succeeded"]) == ("SUCCEEDED", 40)
    before = await rows(model)
    last = uuid.uuid4()
    await model.send(*again, plan_stated(plan, PlanState.RUNNING, 2), plan_stated(last, PlanState.RUNNING, 1))
    await model.send(*(event.model_copy(update={"id": str(uuid.uuid4())}) for event in facts))
    await until_handled(model, len(facts) + len(again) + len(facts) + 2)
    after = await rows(model)
    assert [row for row in after if last not in row and row not in before] == [
        (plan, 2, "RUNNING", NOW, "user:ann", "")
    ], "a move nobody had heard of is kept; nothing else changed"


async def test_ten_thousand_tasks_are_read_and_listed_page_by_page_in_order(model: ReadModel) -> None:
    plan, count = uuid.uuid4(), 10_000
    pages = count // 200
    await model.send(
        plan_stated(plan, PlanState.RUNNING, 1),
        *(items_page(plan, page, pages=pages) for page in range(1, pages + 1)),
        *lives(plan, count, SHORT),
        plan_ended(plan, 9, tasks=count, task_versions=count * len(SHORT), pages=pages),
    )
    await until_complete(model, plan)
    seen: list[str] = []
    after: Any = None
    async with model.connection() as connection:
        while True:
            page = await queries.tasks(connection, TaskFilter(plan=[plan]), limit=200, after=after)
            seen += [task["item_key"] for task in page.items]
            if page.next_after is None:
                break
            after = page.next_after
        items = await queries.plan_items(
            connection, plan, state=["SUCCEEDED"], limit=200, after=[9899, str(uuid.UUID(int=0))]
        )
        failed = await queries.tasks(connection, TaskFilter(plan=[plan], state=["FAILED"]), limit=200)
        newest = await queries.tasks(connection, TaskFilter(), limit=5)
        events = await queries.task_events(connection, task_id(plan, "item/77"), limit=50)
    assert seen == [f"item/{number}" for number in range(count)]
    assert [item["position"] for item in items.items] == list(range(9899, 10_000))
    assert not failed.items
    assert [task["item_key"] for task in newest.items] == [f"item/{n}" for n in range(9999, 9994, -1)]
    assert [event["state"] for event in events.items] == [state.value for state in SHORT]


async def test_the_end_of_a_small_plan_is_no_look_at_every_task_of_a_large_one(model: ReadModel) -> None:
    large, small = uuid.uuid4(), uuid.uuid4()
    expected = Expected(items=1, tasks=0, item_pages=0, task_versions=0)
    items = """INSERT INTO task (id, plan_id, item_key, position)
        SELECT gen_random_uuid(), $1, at::text, at FROM generate_series(1, $2) AS at"""
    async with model.connection() as connection:
        await connection.execute(items, large, 30_000)
        await connection.execute(items, small, 1)
        await connection.execute("ANALYZE task")  # the sample is nearly all of one plan
        record = plan_record(small, PlanState.SUCCEEDED, 1, ended_at=NOW, expected=expected)
        await writes.write_plans(connection, [plan_row(record, None)], [])
        async with connection.transaction():
            assert await writes.complete_plans(connection, [small]) == [small]
            full_scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'task'::regclass"
            assert await connection.fetchval(full_scans) == 0


async def test_a_started_plan_is_readable_at_once_and_is_replaced_by_the_first_fact(model: ReadModel) -> None:
    plan = uuid.uuid4()
    record = plan_record(plan, PlanState.ACCEPTED, 0, transitions=(), reason="month end", labels={"team": "data"})
    async with model.connection() as connection:
        assert await writes.accept_plan(connection, record, trace_id="0af7651916cd43dd8448eb211c80319c")
        assert not await writes.accept_plan(connection, record, trace_id=None), "a repeated start writes nothing"
        answer = await queries.plan(connection, plan)
        assert answer is not None
        assert (answer["state"], answer["version"], answer["id"]) == ("ACCEPTED", 0, str(plan))
        listed = await queries.plans(connection, PlanFilter(label=["team:data"], q="NIGHT"), limit=10)
        assert [one["id"] for one in listed.items] == [str(plan)]
        assert not (await queries.plans(connection, PlanFilter(label=["team:web"]), limit=10)).items
    await model.send(plan_stated(plan, PlanState.RUNNING, 1))

    async def running() -> bool:
        shown = await plan_answer(model, plan)
        return shown is not None and shown["state"] == "RUNNING"

    await until(running)
    answer = await plan_answer(model, plan)
    assert answer is not None
    assert answer["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    async with model.connection() as connection:
        events = await queries.plan_events(connection, plan, limit=10)
        assert await queries.plan_counts(connection, PlanFilter()) == {"RUNNING": 1}
    assert [(event["version"], event["state"]) for event in events.items] == [(0, "ACCEPTED"), (1, "RUNNING")]


async def test_a_plan_sums_up_why_its_tasks_wait_and_forgets_it_when_they_run(model: ReadModel) -> None:
    plan = uuid.uuid4()
    waiting = Waiting(why=WaitReason.PLAN_LIMIT, holder="plan", since_at=NOW, detail="1 of 1 slots are taken")
    later = waiting.model_copy(update={"since_at": NOW + timedelta(minutes=1)})
    await model.send(
        plan_stated(plan, PlanState.RUNNING, 1),
        tasks_stated(
            plan,
            task_record(plan, 0, S.RUNNING, 4),
            task_record(plan, 1, S.QUEUED, 1, waiting=later),
            task_record(plan, 2, S.QUEUED, 1, waiting=waiting),
        ),
    )

    async def known() -> bool:
        return bool(await model.value("SELECT count(*) = 3 FROM task WHERE version >= 0"))

    await until(known)
    answer = await plan_answer(model, plan)
    assert answer is not None
    (one,) = answer["waiting"]
    assert (one["why"], one["tasks"], one["since_at"]) == ("plan_limit", 2, NOW.isoformat().replace("+00:00", "Z"))
    assert f"`signalbox plan rules {plan} --limit N`" in one["sentence"]
    async with model.connection() as connection:
        listed = await queries.tasks(connection, TaskFilter(why=["plan_limit"]), limit=10)
    assert {task["waiting"]["detail"] for task in listed.items} == {"1 of 1 slots are taken"}
    await model.send(
        tasks_stated(plan, task_record(plan, 1, S.CLAIMED, 2), task_record(plan, 2, S.CLAIMED, 2)),
    )

    async def free() -> bool:
        shown = await plan_answer(model, plan)
        return shown is not None and not shown["waiting"]

    await until(free)


async def test_each_try_of_a_task_is_kept_with_how_it_ended(model: ReadModel) -> None:
    plan = uuid.uuid4()
    facts = [
        task_record(plan, 0, S.RUNNING, 4, handle="one", phase=Phase.RUNNING),
        task_record(plan, 0, S.QUEUED, 5, attempt=2, cause=EndCause.FAILED, error="exit 1", exit_code=1),
        task_record(plan, 0, S.RUNNING, 8, attempt=2, handle="two"),
        task_record(plan, 0, S.SUCCEEDED, 9, attempt=2, handle="two", cause=EndCause.COMPLETED, exit_code=0),
    ]
    await model.send(*(tasks_stated(plan, record) for record in (facts[1], facts[3], facts[0], facts[2])))

    await until_handled(model, len(facts))
    async with model.connection() as connection:
        tries = await queries.task_attempts(connection, task_id(plan, "item/0"), limit=10)
    first, second = tries.items
    assert (first["attempt"], first["handle"], first["cause"], first["exit_code"]) == (1, "one", "failed", 1)
    assert (first["state"], second["state"]) == ("FAILED", "SUCCEEDED"), "an ended try runs no more"
    assert first["phase"] == "failed"
    assert (second["attempt"], second["handle"], second["cause"], second["exit_code"]) == (2, "two", "completed", 0)


async def test_a_control_call_is_pending_until_a_fact_or_a_result_answers_it(model: ReadModel) -> None:
    plan, pause, cancel = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    async with model.connection() as connection:
        for id, name in ((pause, "plan.pause"), (cancel, "plan.cancel")):
            await connection.execute(
                "INSERT INTO operation (id, operation, target, actor, reason, requested_at)"
                " VALUES ($1, $2, $3, 'user:ann', 'why not', now())",
                id,
                name,
                f"plan:{plan}",
            )
    await model.send(plan_stated(plan, PlanState.RUNNING, 1))

    async def pending(name: str | None) -> bool:
        answer = await plan_answer(model, plan)
        operation = answer["pending_operation"] if answer is not None else None
        return answer is not None and (operation["operation"] if operation else None) == name

    await until(lambda: pending("plan.cancel"))
    result = OperationResultData(
        operation_id=cancel, target=f"plan:{plan}", operation="plan.cancel", outcome=Outcome.REFUSED, reason="too late"
    )
    await model.send(
        OperationResult.of(result, subject=f"plan:{plan}", source="signalbox/planner", time=NOW, id=uuid.uuid4())
    )
    await until(lambda: pending("plan.pause"))
    await model.send(plan_stated(plan, PlanState.PAUSED, 2, answered=(str(pause), "not an id")))
    await until(lambda: pending(None))
    async with model.connection() as connection:
        refused, done = await queries.operation(connection, cancel), await queries.operation(connection, pause)
    assert refused is not None
    assert done is not None
    assert (refused["state"], refused["answer"]) == ("refused", "too late")
    assert done["state"] == "done"


async def test_who_waits_is_reported_within_a_tenth_of_a_second_of_the_fact(model: ReadModel) -> None:
    """Nothing looks again here: only the commit can wake. The quickest of ten counts, for others use the machine."""
    model.waits.look_again_seconds = 60
    took: list[float] = []
    for _ in range(10):
        plan = uuid.uuid4()

        async def look(plan: uuid.UUID = plan) -> dict[str, Any] | None:
            return await plan_answer(model, plan)

        def enough(seen: dict[str, Any] | None) -> bool:
            return seen is not None

        waiting = asyncio.create_task(model.waits.until(plan, look, enough, seconds=30))
        await asyncio.sleep(0)
        await model.send(plan_stated(plan, PlanState.RUNNING, 1))
        published_at = time.monotonic()
        assert await waiting is not None
        took.append(time.monotonic() - published_at)
    assert min(took) < 0.1, took
    assert max(took) < 20, took


async def test_a_malformed_message_on_each_topic_it_reads_is_parked_and_visible(model: ReadModel) -> None:
    names = [name for name in NEEDED if name != "operations.v1"]
    await model.produce((topic(name), b"key", b'{"specversion": "1.0", "type": 7') for name in names)

    async def visible() -> bool:
        async with model.connection() as connection:
            return len((await queries.dead_letters(connection, limit=10)).items) == len(names)

    await until(visible, why="one parked message for each topic")
    async with model.connection() as connection:
        page = await queries.dead_letters(connection, service=["api-gateway"], limit=10)
        assert {letter["topic"] for letter in page.items} == set(names)
        letter = await queries.dead_letter(connection, uuid.UUID(page.items[0]["id"]))
        assert letter is not None
        assert letter["value_bytes"] == 32
        operation = uuid.uuid4()
        assert await writes.ask_letters(connection, operation, [uuid.UUID(letter["id"])])
    dropped = OperationResultData(
        operation_id=operation, target="dead_letters:api-gateway", operation="dead_letter.drop", outcome=Outcome.DONE
    )
    await model.send(
        OperationResult.of(dropped, subject=dropped.target, source="signalbox/api-gateway", time=NOW, id=operation)
    )

    async def settled() -> bool:
        async with model.connection() as connection:
            return len((await queries.dead_letters(connection, state=["DROPPED"], limit=10)).items) == 1

    await until(settled)
    redriven, again = (
        DeadLetterStateData(
            dead_letter_id=uuid.UUID(other["id"]), service="api-gateway", state=outcome, attempts=2, error=error
        )
        for other, outcome, error in (
            (page.items[1], DeadLetterOutcome.REDRIVEN, None),
            (page.items[2], DeadLetterOutcome.PARKED, "still no JSON"),
        )
    )
    for state in (redriven, again):
        await model.send(
            DeadLetterState.of(
                state, subject=state.dead_letter_id, source="signalbox/api-gateway", time=NOW, id=uuid.uuid4()
            )
        )

    async def stated() -> bool:
        async with model.connection() as connection:
            shown = await queries.dead_letter(connection, again.dead_letter_id)
            assert shown is not None
            return (shown["state"], shown["attempts"], shown["error"]) == ("PARKED", 2, "still no JSON")

    await until(stated)
    async with model.connection() as connection:
        handled = (await queries.dead_letters(connection, state=["REDRIVEN"], limit=10)).items
        assert [letter["id"] for letter in handled] == [str(redriven.dead_letter_id)]
        assert (await status.counts(connection))["parked"] == len(names) - 2, "what is settled is no longer counted"


async def test_an_engine_shows_the_newest_state_published_of_it(model: ReadModel) -> None:
    for version in (2, 1, 3):
        record = EngineRecord(engine_id="local", version=version, definitions_revision=1, slots_used=version)
        await model.send(
            EngineStated.of(
                record, subject="engine:local", source="signalbox/executor", time=NOW, aggregateversion=version
            )
        )

    async def newest() -> bool:
        async with model.connection() as connection:
            states = await queries.engine_states(connection)
        return states.get("local", {}).get("slots_used") == 3

    await until(newest)


@proves("gateway.read_model.progress: a newer attempt")
async def test_the_newest_progress_of_the_newest_attempt_stays_when_older_ones_come_late(
    model: ReadModel,
) -> None:
    """Without the pair of attempt and sequence a bar runs backwards, or shows an attempt that is over."""
    task = uuid.uuid4()

    def progress(attempt: int, sequence: int, fraction: float) -> TaskProgressData:
        return TaskProgressData(
            plan_id=task, task_id=task, attempt=attempt, sequence=sequence, at=NOW, fraction=fraction
        )

    async with model.connection() as connection:
        for one in (progress(1, 7, 0.9), progress(2, 2, 0.2), progress(2, 1, 0.1), progress(1, 9, 1.0)):
            await write_progress(connection, [one])
        assert (await load_progress(connection, [task]))[task]["fraction"] == 0.2


@proves("gateway.read_model.reprocessing: an older version changes no")
async def test_an_older_state_of_a_reprocessing_job_changes_nothing(model: ReadModel) -> None:
    job = uuid.uuid4()

    def record(version: int, status: ReprocessingStatus) -> ReprocessingRecord:
        return ReprocessingRecord(job_id=job, version=version, status=status, success_count=version)

    async with model.connection() as connection:
        for version, status in (
            (2, ReprocessingStatus.RUNNING),
            (3, ReprocessingStatus.COMPLETED),
            (2, ReprocessingStatus.RUNNING),
            (3, ReprocessingStatus.FAILED),
        ):
            await reprocessing.write_states(connection, [record(version, status)])
        row = await reprocessing.load(connection, job)
    assert row is not None
    assert (row["version"], row["status"]) == (3, "completed")
