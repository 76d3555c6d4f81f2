"""Plans from request to end, with a real executor, on real Kafka and PostgreSQL."""

import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.params import Param
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.definitions.work import ProcessWork, ScriptedWork
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.operations import PlanRepublish, PlanRepublishData
from signalbox_contracts.messages.requests import (
    PlanCancel,
    PlanPause,
    PlanRequest,
    PlanResume,
    PlanRetry,
    PlanRulesRequest,
)
from signalbox_contracts.messages.states import Outcome, ServiceStated
from signalbox_contracts.messages.task_commands import PlanRules, TasksEnsure
from signalbox_contracts.topics import topic
from signalbox_executor.store import accept
from signalbox_planner.handlers import tasks
from support.executor import operation
from support.planner import GATEWAY, Planners, command, item, request_items, request_job, running
from support.proofs import proves
from support.service_fixture import until

JOB = Job(id="nightly", name="Nightly", engine="e1", work=ScriptedWork.model_validate({"script": {}}))


async def test_a_job_becomes_a_plan_of_one_task_that_ends_with_everything_a_reader_needs(planners: Planners) -> None:
    request = request_job(JOB)
    plan = request.data.plan_id
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request, request)
        await planners.until_state(plan, "SUCCEEDED")
    stated = await planners.plan_states(plan)
    states = [made.state for one in stated for made in one.data.transitions]
    assert states == ["ACCEPTED", "RUNNING", "SUCCEEDED"]
    last = stated[-1].data
    assert (last.counts.total, last.counts.succeeded) == (1, 1)
    assert last.target == "job:nightly"
    assert last.event_date == (datetime.now(UTC) - timedelta(days=1)).date()
    task_facts = [one.data for one in await planners.executors.facts() if one.data.plan_id == plan]
    facts = [task for data in task_facts for task in data.tasks]
    assert last.expected is not None
    assert (last.expected.items, last.expected.tasks, last.expected.item_pages) == (1, 1, 1)
    assert last.expected.task_versions == max(task.version for task in facts)
    assert [one.data.version for one in stated] == sorted({one.data.version for one in stated})
    (page,) = await planners.pages(plan)
    assert [one.key for one in page.data.items] == ["nightly"]
    assert await planners.starts(plan) == {1: 1}


async def test_a_failing_job_is_a_failed_plan_and_a_list_with_a_failure_ends_with_errors(planners: Planners) -> None:
    job = request_job(JOB.model_copy(update={"work": ScriptedWork.model_validate({"script": {"exit_code": 1}})}))
    pages = request_items([item(1), item(2, exit_code=1), item(3)])
    async with planners.running(), planners.executors.running():
        await planners.executors.send(job, *pages)
        await planners.until_state(job.data.plan_id, "FAILED")
        await planners.until_state(pages[0].data.plan_id, "COMPLETED_WITH_ERRORS")


async def test_a_job_is_rendered_with_its_parameters(planners: Planners) -> None:
    work = ProcessWork(argv=("load", "{{ params.table }}", "{{ event_date }}"))
    job = Job(id="load", name="Load", engine="e1", work=work, params={"table": Param(required=True)})
    good, bad = request_job(job, table="orders"), request_job(job)
    async with planners.running():
        await planners.executors.send(good, bad)
        await planners.until_state(good.data.plan_id, "RUNNING")
        await planners.until_state(bad.data.plan_id, "REFUSED")
    stored = await planners.value("SELECT work FROM item WHERE plan_id = $1", good.data.plan_id)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert ProcessWork.model_validate_json(stored).argv == ("load", "orders", yesterday.isoformat())
    assert "table is missing" in (await planners.plan_states(bad.data.plan_id))[-1].data.reason


async def test_pages_may_be_repeated_and_come_in_any_order(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(25)], a_page=10, rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    async with planners.running():
        await planners.executors.send(pages[2], pages[0], pages[2])
        await planners.until_plan(plan, "pages_seen", lambda seen: seen == 2)
        assert await planners.value("SELECT state FROM plan WHERE id = $1", plan) == "ACCEPTED"
        await planners.executors.send(pages[0], pages[1])
        await planners.until_state(plan, "RUNNING")
    assert await planners.value("SELECT count(*) FROM item WHERE plan_id = $1", plan) == 25
    stated = await planners.pages(plan)
    assert sorted(one.data.page for one in stated) == [1, 2, 3]
    last = (await planners.plan_states(plan))[-1].data
    assert (last.counts.total, last.counts.waiting) == (25, 25)


async def test_pages_that_disagree_are_refused_and_nothing_runs(planners: Planners) -> None:
    plan = uuid.uuid4()
    pages = request_items([item(n) for n in range(6)], plan=plan, a_page=2)
    other = request_items([item(n) for n in range(8)], plan=plan, a_page=2)
    async with planners.running():
        await planners.executors.send(pages[0], other[1], pages[2])
        await planners.until_state(plan, "REFUSED")
    last = (await planners.plan_states(plan))[-1].data
    assert "pages: page" in last.reason
    assert last.counts.total == last.counts.skipped
    assert await planners.value("SELECT tasks FROM plan WHERE id = $1", plan) == 0


@pytest.mark.parametrize("same_page", [True, False])
async def test_a_key_used_twice_is_refused_by_name(planners: Planners, same_page: bool) -> None:
    pages = request_items([item(n) for n in (1, 2, 1, 3)], a_page=4 if same_page else 2)
    plan = pages[0].data.plan_id
    async with planners.running():
        await planners.executors.send(*pages)
        await planners.until_state(plan, "REFUSED")
    last = (await planners.plan_states(plan))[-1].data
    assert "'item/000001' is used twice" in last.reason
    assert last.counts.total == last.counts.skipped


async def test_a_plan_is_paused_once_the_executor_says_so_and_goes_on_when_resumed(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(30)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    pause = command(PlanPause, plan, reason="lunch")
    wider = command(PlanRulesRequest, plan, rules=Rules(limit=5))
    resume = command(PlanResume, plan)
    async with planners.running():
        await planners.executors.send(*pages)
        await planners.until_state(plan, "RUNNING")
        await planners.executors.send(pause)
        await planners.until_plan(plan, "held", lambda held: held)
        assert await planners.value("SELECT state FROM plan WHERE id = $1", plan) == "RUNNING"
        async with planners.executors.running():
            await planners.until_state(plan, "PAUSED")
            await planners.executors.send(wider)
            await planners.until_plan(plan, "rules_confirmed", lambda confirmed: confirmed == 3)
            assert not await planners.starts(plan)
            await planners.executors.send(resume)
            await planners.until_state(plan, "SUCCEEDED")
    stated = await planners.plan_states(plan)
    answered = [id for one in stated for id in one.data.answered]
    assert answered == [str(one.data.operation_id) for one in (pause, wider, resume)]
    paused = next(one.data for one in stated if one.data.state == "PAUSED")
    assert [(one.why, one.holder, one.detail) for one in paused.waiting] == [("plan_paused", "user:ann", "lunch")]
    assert await planners.starts(plan) == {1: 30}


async def test_commands_that_do_not_apply_are_refused_with_the_reason(planners: Planners) -> None:
    request = request_job(JOB)
    plan, nobody = request.data.plan_id, uuid.uuid4()
    async with planners.running(), planners.executors.running():
        await planners.executors.send(request)
        await planners.until_state(plan, "SUCCEEDED")
        late = [command(PlanPause, plan), command(PlanCancel, plan), command(PlanResume, nobody)]
        await planners.executors.send(*late)

        operations = [one.data.operation_id for one in late]

        async def answered() -> bool:
            return len(await planners.answers(*operations)) == 3

        await until(answered)
    stated = await planners.answers(*operations)
    assert [stated[one.data.operation_id].outcome for one in late] == [Outcome.REFUSED] * 3
    assert "SUCCEEDED" in stated[late[0].data.operation_id].reason
    assert f"plan {nobody} is not known" in stated[late[2].data.operation_id].reason


async def test_what_failed_is_retried_as_a_linked_plan(planners: Planners) -> None:
    pages = request_items([item(n, **({"exit_code": 1} if n % 3 == 0 else {})) for n in range(450)])
    plan, child, second = pages[0].data.plan_id, uuid.uuid4(), uuid.uuid4()
    async with planners.running(step_items=200), planners.executors.running():
        await planners.executors.send(*pages)
        await planners.until_state(plan, "COMPLETED_WITH_ERRORS", seconds=60)
        retry = command(PlanRetry, plan, child_plan_id=child, definitions_revision=1)
        one = command(
            PlanRetry, plan, child_plan_id=second, definitions_revision=1, item_keys=("item/000003", "item/000001")
        )
        await planners.executors.send(retry, retry, one)
        await planners.until_state(child, "COMPLETED_WITH_ERRORS", seconds=60)
        await planners.until_state(second, "REFUSED")
    last = (await planners.plan_states(child))[-1].data
    assert (last.parent, last.counts.total, last.counts.failed) == (plan, 150, 150)
    assert "item/000001' is SUCCEEDED" in (await planners.plan_states(second))[-1].data.reason
    assert await planners.starts(plan, child) == {1: 600}


async def test_single_items_are_cancelled_and_the_plan_goes_on(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(6)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    async with planners.running(send_window=4), planners.executors.running():
        await planners.executors.send(*pages)
        await planners.until_plan(plan, "next_position", lambda position: position == 4)
        await planners.executors.send(command(PlanCancel, plan, item_keys=("item/000001", "item/000005")))
        await planners.until_plan(plan, "counts::json->>'cancelled'", lambda n: n == "2")
        await planners.executors.send(command(PlanRulesRequest, plan, rules=Rules()))
        await planners.until_state(plan, "COMPLETED_WITH_ERRORS")
    last = (await planners.plan_states(plan))[-1].data
    assert (last.counts.succeeded, last.counts.cancelled) == (4, 2)
    assert last.expected is not None
    assert last.expected.tasks == 5


async def test_a_job_whose_task_is_cancelled_alone_ends_cancelled_also_while_it_is_paused(planners: Planners) -> None:
    """Without a transition for it the plan stayed RUNNING for ever, and the planner parked the facts of its task."""
    running, paused = (request_job(JOB, rules=Rules(limit=0)) for _ in range(2))
    plans = [running.data.plan_id, paused.data.plan_id]
    async with planners.running(), planners.executors.running():
        await planners.executors.send(running, paused, command(PlanPause, plans[1]))
        await planners.until_state(plans[0], "RUNNING")
        await planners.until_state(plans[1], "PAUSED")
        await planners.executors.send(*(command(PlanCancel, plan, item_keys=("nightly",)) for plan in plans))
        for plan in plans:
            await planners.until_state(plan, "CANCELLED")
    assert (await planners.plan_states(plans[0]))[-1].data.counts.cancelled == 1
    assert await planners.value("SELECT count(*) FROM dead_letter") == 0


async def test_newest_first_is_sent_from_the_end_and_the_order_may_change(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(12)], rules=Rules(limit=0, order="newest_first"))
    plan = pages[0].data.plan_id
    async with planners.running(send_window=4), planners.executors.running():
        await planners.executors.send(*pages)
        await planners.until_plan(plan, "unsent_end", lambda end: end == 8)
        await planners.executors.send(command(PlanCancel, plan, item_keys=("item/000005", "item/000011")))
        await planners.until_plan(plan, "counts::json->>'cancelled'", lambda n: n == "2")
        await planners.executors.send(command(PlanRulesRequest, plan, rules=Rules(limit=2)))
        await planners.until_state(plan, "COMPLETED_WITH_ERRORS")
    sent = [
        task.position
        for one in await planners.commands(plan)
        if isinstance(one, TasksEnsure)
        for task in one.data.tasks
    ]
    assert sent[:4] == [11, 10, 9, 8]
    assert sorted(sent) == [n for n in range(12) if n != 5]
    last = (await planners.plan_states(plan))[-1].data
    assert (last.counts.succeeded, last.counts.cancelled) == (10, 2)
    assert await planners.starts(plan) == {1: 10}


async def test_silent_tasks_are_queried_and_sent_again_when_they_are_lost(planners: Planners) -> None:
    """Without the query, a command lost with its topic would leave the plan running for ever."""
    pages = request_items([item(n) for n in range(3)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    async with planners.running(reconcile_seconds=0.3, max_reconcile_seconds=0.5):
        async with planners.executors.running():
            await planners.executors.send(*pages)
            await planners.until_plan(plan, "rules_confirmed", lambda confirmed: confirmed == 1)
        await planners.executors.rows("DELETE FROM task WHERE plan_id = $1", plan)
        await planners.executors.rows("DELETE FROM plan_rules WHERE plan_id = $1", plan)
        # the fact before the loss is newer than every fact the executor will publish of these tasks from now on
        await planners.executors.send(running(plan, task_id(plan, "item/000000"), "item/000000", 50))
        await planners.until_plan(plan, "task_versions", lambda versions: versions >= 50)
        await planners.executors.send(command(PlanCancel, plan, item_keys=("item/000002",)))
        async with planners.executors.running():
            await planners.until_plan(plan, "counts::json->>'cancelled'", lambda n: n == "1")
            await planners.executors.send(command(PlanRulesRequest, plan, rules=Rules()))
            await planners.until_state(plan, "COMPLETED_WITH_ERRORS")
    assert await planners.starts(plan) == {1: 2}
    last = (await planners.plan_states(plan))[-1].data
    assert (last.counts.succeeded, last.counts.cancelled) == (2, 1)
    rows = await planners.executors.rows("SELECT version FROM task WHERE plan_id = $1", plan)
    assert last.expected is not None
    assert last.expected.task_versions == sum(row["version"] for row in rows)


@proves("planner.store.items: a lost task begins again")
async def test_what_was_lost_is_sent_again_even_while_the_plan_is_busy(planners: Planners) -> None:
    """Facts of one task must not put off the query for another, nor the rules without confirmation."""
    pages = request_items([item(n) for n in range(3)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    busy = task_id(plan, "item/000000")
    async with planners.running(reconcile_seconds=1, max_reconcile_seconds=2):
        await planners.executors.send(*pages)
        await planners.until_state(plan, "RUNNING")
        version = 0

        async def queried_while_facts_arrive() -> bool:
            nonlocal version
            version += 1
            await planners.executors.send(running(plan, busy, "item/000000", version))
            stated = [one for one in await planners.commands(plan) if isinstance(one, TasksEnsure | PlanRules)]
            rules = [one.id for one in stated if isinstance(one, PlanRules)]
            queries = [one for one in stated if isinstance(one, TasksEnsure) and len(one.data.known) == 3]
            return len(rules) > 1 and len(queries) > 1

        await until(queried_while_facts_arrive)
    assert version > 2


async def test_closed_rules_are_repeated_until_the_executor_confirms_them(planners: Planners) -> None:
    pages = request_items([item(1)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id

    async def closed_again() -> bool:
        stated = [one for one in await planners.commands(plan) if isinstance(one, PlanRules) and one.data.closed]
        return len(stated) > 1

    async with planners.running(reconcile_seconds=0.2):
        await planners.executors.send(*pages)
        await planners.until_state(plan, "RUNNING")
        done = running(plan, task_id(plan, "item/000001"), "item/000001", 3, state="SUCCEEDED")
        await planners.executors.send(done)
        await planners.until_state(plan, "SUCCEEDED")
        await until(closed_again)
        async with planners.executors.running():
            await planners.until_plan(plan, "rules_published_at", lambda at: at is None)


async def test_a_plan_is_republished_under_fresh_ids(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(450)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    async with planners.running():
        await planners.executors.send(*pages)
        await planners.until_state(plan, "RUNNING")
        data = PlanRepublishData(operation_id=uuid.uuid4(), actor="user:ann", plan_ids=(plan,), tasks=False)
        command_id = uuid.uuid4()
        republish = PlanRepublish.of(
            data, subject="plans:all", source=GATEWAY, time=datetime.now(UTC), id=command_id
        )  # fmt: skip
        await planners.executors.send(republish)

        async def republished() -> bool:
            return len(await planners.pages(plan)) == 6

        await until(republished)
    stated = await planners.pages(plan)
    assert Counter(one.data.page for one in stated) == {1: 2, 2: 2, 3: 2}
    assert len({one.id for one in stated}) == 6
    keys = [one.key for page in stated[3:] for one in page.data.items]
    assert keys == [f"item/{n:06}" for n in range(450)]
    version = await planners.value("SELECT version FROM plan WHERE id = $1", plan)
    assert version > 1
    assert [one.data.version for one in stated] == [1, 1, 1, version, version, version], "readers keep the newest"


@proves("planner.store.items: counts change by rows", "planner.store.plans: whoever changes a plan")
async def test_twenty_thousand_items_are_accepted_paused_resumed_and_cancelled(planners: Planners) -> None:
    pages = request_items([item(n) for n in range(20_000)], rules=Rules(limit=0))
    plan = pages[0].data.plan_id
    async with planners.running(), planners.executors.running():
        began = time.perf_counter()
        await planners.executors.send_all(pages)
        await planners.until_state(plan, "RUNNING", seconds=90)
        print(f"20,000 items accepted in {time.perf_counter() - began:.2f} s")
        await planners.executors.send(command(PlanPause, plan))
        await planners.until_state(plan, "PAUSED", seconds=60)
        await planners.executors.send(command(PlanResume, plan))
        await planners.until_plan(plan, "state", lambda state: state == "RUNNING", seconds=60)
        await planners.executors.send(command(PlanCancel, plan, kill=True))
        await planners.until_state(plan, "CANCELLED", seconds=90)
        print(f"and cancelled after {time.perf_counter() - began:.2f} s")
    last = (await planners.plan_states(plan))[-1].data
    assert last.expected is not None
    assert (last.counts.total, last.counts.cancelled, last.expected.item_pages) == (20_000, 20_000, 100)
    assert last.expected.tasks <= 1000
    stated = Counter(one.data.page for one in await planners.pages(plan))
    assert stated == dict.fromkeys(range(1, 101), 1)


def test_requests_are_pages_of_one_plan() -> None:
    pages = request_items([item(n) for n in range(401)])
    assert [one.data.page for one in pages] == [1, 2, 3]
    assert len({one.id for one in pages}) == 3
    assert isinstance(pages[0], PlanRequest)


@proves("planner.store.plans: dropped with the cancel that ends its plan")
async def test_a_plan_whose_request_could_not_be_read_can_be_cancelled(planners: Planners) -> None:
    """Without it the plan is ACCEPTED for ever: a cancel is refused as "not known"."""
    plan = uuid.uuid4()
    producer = AIOKafkaProducer(bootstrap_servers=planners.executors.bootstrap)
    async with planners.running():
        await producer.start()
        try:
            name = topic("requests.v1").full_name(planners.executors.prefix)
            await producer.send_and_wait(name, b"[" * 300, key=str(plan).encode())
        finally:
            await producer.stop()

        async def parked() -> bool:
            return bool(await planners.value("SELECT count(*) FROM dead_letter"))

        await until(parked, why="the request is parked")
        cancel, other = command(PlanCancel, plan, reason="stuck"), command(PlanCancel, uuid.uuid4())
        await planners.executors.send(cancel, other)

        async def answered() -> bool:
            return len(await planners.answers(cancel.data.operation_id, other.data.operation_id)) == 2

        await until(answered, why="both cancels are answered")
        answers = await planners.answers(cancel.data.operation_id, other.data.operation_id)
    assert answers[cancel.data.operation_id].outcome is Outcome.DONE
    assert answers[other.data.operation_id].outcome is Outcome.REFUSED
    [stated] = await planners.plan_states(plan)
    assert stated.data.state == "CANCELLED"
    assert "could not be read" in stated.data.reason
    assert await planners.value("SELECT state FROM dead_letter") == "DROPPED"


async def test_a_plan_whose_tasks_no_executor_could_take_is_sent_once_and_can_be_cancelled(
    planners: Planners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the command is parked again with each repetition, and a cancel waits for tasks that never were."""

    async def refuse(*_: object) -> set[uuid.UUID]:
        raise ValueError("no executor takes this")

    pages = request_items([item(1), item(2), item(3)])
    plan = pages[0].data.plan_id
    letters = "SELECT count(*) FROM dead_letter WHERE key = $1"
    async with planners.running(reconcile_seconds=0.2, max_reconcile_seconds=0.5), planners.executors.running():
        with monkeypatch.context() as broken:
            broken.setattr(accept, "accept", refuse)
            await planners.executors.send(*pages)

            async def parked() -> bool:
                return await planners.executors.value(letters, str(plan).encode()) == 1

            await until(parked, why="the command is parked")
        before = len(await planners.commands(plan))

        async def three_queries() -> bool:
            await planners.rows("UPDATE plan SET query_at = now() WHERE id = $1", plan)
            return len(await planners.commands(plan)) >= before + 3

        await until(three_queries, why="the planner asks what became of them")
        sent = [one for one in await planners.commands(plan) if isinstance(one, TasksEnsure) and one.data.tasks]
        assert len(sent) == 1, "what is parked is not sent again"
        await planners.executors.send(command(PlanCancel, plan, item_keys=("item/000002",)))

        async def one_ended() -> bool:
            ended = "SELECT count(*) FROM item WHERE plan_id = $1 AND state = 'CANCELLED'"
            return await planners.value(ended, plan) == 1

        await until(one_ended, why="the item that was cancelled alone")
        await planners.executors.send(command(PlanCancel, plan, reason="stuck"))
        await planners.until_state(plan, "CANCELLED")
    last = (await planners.plan_states(plan))[-1].data
    assert last.expected is not None
    assert (last.counts.cancelled, last.expected.tasks) == (3, 0)
    reasons = {one.key: one.reason for page in await planners.pages(plan) for one in page.data.items}
    assert "could not take its command: ValueError: no executor takes this" in reasons["item/000001"]


async def test_a_plan_whose_facts_could_not_be_applied_can_be_cancelled(
    planners: Planners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the plan is CANCELLING for ever: what its tasks became lies parked."""

    async def refuse(*_: object, **__: object) -> None:
        raise ValueError("no result like this")

    request = request_job(JOB)
    plan = request.data.plan_id
    async with planners.running(reconcile_seconds=600.0), planners.executors.running():
        with monkeypatch.context() as broken:
            broken.setattr(tasks, "apply_stated", refuse)
            await planners.executors.send(request)

            async def parked() -> bool:
                facts = "SELECT count(*) FROM dead_letter WHERE topic = 'tasks.v1' AND key = $1 AND value LIKE $2"
                return bool(await planners.value(facts, str(plan).encode(), b"%SUCCEEDED%"))

            await until(parked, why="the fact of its end is parked")
        assert await planners.value("SELECT state FROM plan WHERE id = $1", plan) == "RUNNING"
        await planners.executors.send(command(PlanCancel, plan, reason="stuck"))
        await planners.until_state(plan, "SUCCEEDED")
    assert (await planners.plan_states(plan))[-1].data.counts.succeeded == 1


@proves("chassis.persistence.tables: a forged or damaged fact freezes nothing for ever")
async def test_a_forged_version_neither_freezes_a_task_nor_its_plan(planners: Planners) -> None:
    """Without the bound, and the executor's going on above, no true fact of the task would ever be newer."""
    pages = request_items([item(1, held=True)])
    plan, key = pages[0].data.plan_id, "item/000001"
    task = task_id(plan, key)
    async with planners.running(reconcile_seconds=0.3, max_reconcile_seconds=0.5), planners.executors.running():
        await planners.executors.send(*pages)
        await planners.until_running(plan, task)
        await planners.executors.send(running(plan, task, key, 2**50), running(plan, task, key, 5000))
        await planners.until_plan(plan, "task_versions", lambda versions: versions >= 5000)
        letter = "SELECT error FROM dead_letter WHERE key = $1"
        assert "jumps from" in await planners.value(letter, str(plan).encode())
        await planners.executors.release(task)
        await planners.rows("UPDATE plan SET query_at = now() WHERE id = $1", plan)
        await planners.until_state(plan, "SUCCEEDED")
        assert await planners.executors.value("SELECT version FROM task WHERE id = $1", task) > 5000
        known = (await planners.plan_states(plan))[-1].data.version
        ask = operation(PlanRepublish, f"plan:{plan}", plan_ids=[plan], versions=[known + 700], tasks=False)
        await planners.executors.send(ask)

        async def restated() -> bool:
            return (await planners.plan_states(plan))[-1].data.version > known + 700

        await until(restated, why="the planner goes on above a version it never published")

        async def noted() -> bool:
            published = await planners.executors.states_published(ServiceStated)
            return {one.data.service for one in published if one.data.restated} == {"executor", "planner"}

        await until(noted, why="both services say so")
