"""What can be lost and is there again: the read model, Kafka, consumer offsets, a second of each owner's database."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from signalbox_local.kafka import KafkaCluster
from support.full_stack import OWNERS, SERVICES, FullStack, make_full_stack, once
from support.proofs import proves
from support.scripted import scripted_server
from support.service_fixture import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def engine_url(tmp_path: Path) -> Iterator[str]:
    with scripted_server(tmp_path) as url:
        yield url


@pytest_asyncio.fixture
async def stack(postgres_url: str, kafka_bootstrap: str, engine_url: str, tmp_path: Path) -> AsyncGenerator[FullStack]:
    async with make_full_stack(postgres_url, kafka_bootstrap, engine_url, tmp_path) as made:
        yield made


async def test_a_wiped_read_model_is_equal_again_with_plans_older_than_their_topics(stack: FullStack) -> None:
    """Without `plan.republish` of all plans nothing older than the topics would ever be seen again."""
    good = await stack.plan(203)
    failing = {"exit_code": 1, "run_seconds": 1.5}  # so long that its run is said before its end
    bad = await stack.plan(3, script=failing, retries={"max_attempts": 2, "delay_seconds": 0.1})
    paused = await stack.plan(5, script={"held": True}, rules={"limit": 1})
    await stack.ask("POST", f"/plans/{paused}/pause", {"reason": "to look"})
    await stack.until_ended(good, bad)
    await stack.planners.until_state(paused, "PAUSED")
    cancelled = await stack.plan(203, script={"never_ends": True}, rules={"limit": 2})
    await stack.ask("POST", f"/plans/{cancelled}/cancel", {"kill": True})
    await stack.until_ended(cancelled)
    await stack.until_quiet()
    await stack.forget_facts()
    before = await stack.dump()
    assert all(before.values()), "every table has something to lose"
    answers = await stack.gateways.value("SELECT array_agg(operation_id) FROM operation_answer")

    await stack.stop("api-gateway")
    output = await stack.admin_command("rebuild")
    assert output.startswith("emptied of 4 plans")
    empty = await stack.dump()
    assert not [table for table in ("plan", "task", "task_event", "engine_state") if empty[table]]
    await stack.start("api-gateway")
    await until_same(stack, before)
    assert await stack.gateways.value("SELECT array_agg(operation_id) @> $1 FROM operation_answer", answers)

    await stack.stop("api-gateway")
    await stack.gateways.rows("TRUNCATE plan, plan_page, task, task_event, task_attempt, engine_state")
    await stack.start("api-gateway")
    await until_same(stack, before)


@proves("planner.store.items: an older fact never", "F26")
async def test_a_replay_of_everything_changes_nothing(stack: FullStack) -> None:
    """Without the inbox and versions deleted consumer offsets would run plans twice, or move them back."""
    good = await stack.plan(60)
    bad = await stack.plan(3, script={"exit_code": 1}, retries={"max_attempts": 2, "delay_seconds": 0.1})
    await stack.until_ended(good, bad)
    retried = await stack.ask("POST", f"/plans/{bad}/retry", {})
    await stack.until_ended(UUID(retried["id"]))
    await stack.until_quiet()
    before, owned, starts = await stack.dump(), await stack.owners(), await stack.executors.starts()
    read = await stack.read_so_far()
    groups = {group.removeprefix(stack.prefix) for group, _ in read}
    # no event comes from outside in this test
    expected = {group for name in OWNERS for group in SERVICES[name].groups} - {"planner.events"}
    assert groups >= expected, "every group has read something"
    await stack.stop()
    await stack.forget_offsets()
    assert await stack.read_so_far() == {}
    await stack.start()
    await stack.until_read(read)
    await stack.until_quiet()
    await until_same(stack, before)
    assert await stack.owners() == owned
    assert await stack.executors.starts() == starts


@pytest.mark.parametrize("restored", OWNERS)
@proves("executor.store.restore: readers have facts", "planner.store.restore: every fact published", "F22")
async def test_an_owner_restored_to_a_moment_ago_runs_nothing_twice_and_is_shown_as_it_is(
    stack: FullStack, restored: str
) -> None:
    """Without the floor of versions its readers would take what it says for old; without the rewind what came since
    would be lost.
    """
    script = {"run_seconds": 0.5}
    first = await stack.plan(40, script=script, rules={"limit": 6})
    failing = await stack.plan(4, script={"exit_code": 1}, retries={"max_attempts": 3, "delay_seconds": 0.2})
    await stack.planners.until_plan(first, "version", lambda version: (version or 0) > 4)
    backup = await stack.remember(restored)
    ended = await ends(stack)
    second = await stack.plan(10, script=script)
    paused = await stack.plan(5, script={"run_seconds": 2}, rules={"limit": 1})
    await stack.ask("POST", f"/plans/{paused}/pause", {"reason": "to look"})
    await stack.planners.until_state(paused, "PAUSED")

    async def moved() -> bool:
        return await ends(stack) >= ended + 8

    await until(moved, why="eight more tasks ended since the backup")
    await stack.stop(restored)
    await backup.put_back()
    await stack.start(restored)
    await stack.until_ended(first, failing, second)
    await stack.planners.until_state(paused, "PAUSED")
    await stack.ask("POST", f"/plans/{paused}/resume", {})
    await stack.until_ended(paused)
    await stack.executors_ended()
    await stack.until_as_owned()
    tasks = await stack.executors.rows("SELECT id, state FROM task")
    once(await stack.executors.starts(), tasks)
    assert Counter(row["state"] for row in tasks) == {"SUCCEEDED": 55, "FAILED": 4}
    counts = await stack.planners.rows("SELECT state, counts::json ->> 'succeeded' AS good FROM plan ORDER BY 1, 2")
    assert [tuple(row.values()) for row in counts] == [
        ("COMPLETED_WITH_ERRORS", None), ("SUCCEEDED", "10"), ("SUCCEEDED", "40"), ("SUCCEEDED", "5"),
    ]  # fmt: skip


@proves("F22")
async def test_what_was_cancelled_since_the_backup_of_the_executor_does_not_start(stack: FullStack) -> None:
    """Without reading first what came since, the queue of the backup would start."""
    plan = await stack.plan(30, script={"never_ends": True}, rules={"limit": 2})

    async def running() -> bool:
        states = await stack.executors.states()
        return states.get("RUNNING") == 2 and states.get("QUEUED") == 28

    await until(running, why="two run, the others wait for them")
    backup = await stack.remember("executor")
    await stack.ask("POST", f"/plans/{plan}/cancel", {"kill": True})
    await stack.until_ended(plan)
    await stack.stop("executor")
    await backup.put_back()
    assert (await stack.executors.states())["QUEUED"] == 28
    await stack.start("executor")
    await stack.executors_ended()
    await stack.until_as_owned()
    assert await stack.executors.states() == {"CANCELLED": 30}
    assert sorted((await stack.executors.starts()).values()) == [1, 1]


@proves("F25")
async def test_kafka_wiped_in_the_middle_of_work_loses_nothing(
    postgres_url: str, private_kafka: KafkaCluster, engine_url: str, tmp_path: Path
) -> None:
    """Without requests, commands and definitions said again what was on its way would never arrive."""
    async with make_full_stack(postgres_url, private_kafka.bootstrap, engine_url, tmp_path) as stack:
        script = {"run_seconds": 0.3}
        plans = [await stack.plan(30, script=script, rules={"limit": 5}) for _ in range(2)]
        await stack.planners.until_plan(plans[0], "version", lambda version: (version or 0) > 4)
        stopped = await stack.plan(5, script={"never_ends": True})
        await stack.planners.until_state(stopped, "RUNNING")
        # sent, and read by nobody: the planner is away
        await stack.stop("planner")
        plans.append(await stack.plan(20, script=script))
        await stack.ask("POST", f"/plans/{stopped}/cancel", {"kill": True})

        async def sent() -> bool:
            return not await stack.gateways.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

        await until(sent, why="the gateway's messages are on Kafka")
        await asyncio.to_thread(wiped, private_kafka)
        await stack.wiped()
        await stack.start("planner")
        await stack.until_ended(*plans, stopped, seconds=90)
        await stack.until_as_owned()
        tasks = await stack.executors.rows("SELECT id, state FROM task")
        once(await stack.executors.starts(), tasks)
        assert Counter(row["state"] for row in tasks) == {"SUCCEEDED": 80, "CANCELLED": 5}
        # an executor that comes later still learns of the engine
        await stack.executors.rows("DELETE FROM engine")
        await stack.stop("executor")
        await stack.start("executor")
        await stack.until_ended(await stack.plan(1))


def wiped(cluster: KafkaCluster) -> None:
    """The same broker at the same address, with nothing in it."""
    for node in cluster.nodes:
        node.kill()
        shutil.rmtree(node.folder / "data")
    cluster.start()


async def ends(stack: FullStack) -> int:
    return await stack.executors.value("SELECT count(*) FROM task WHERE ended_at IS NOT NULL")


async def until_same(stack: FullStack, before: dict[str, list[tuple[object, ...]]]) -> None:
    """Table by table; what differs is shown when time is up."""

    async def same() -> bool:
        return await stack.dump() == {**before, "engine_state": await stack.published_engine_states()}

    try:
        await until(same, seconds=40, why="the read model equal to what it was")
    except BaseException:
        for table, rows in (await stack.dump()).items():
            gone, new = set(before[table]) - set(rows), set(rows) - set(before[table])
            print(table, len(before[table]), len(rows), "gone", list(gone)[:2], "new", list(new)[:2])
        raise
