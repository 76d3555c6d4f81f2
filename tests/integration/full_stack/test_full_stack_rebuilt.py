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
from support.full_stack import OWNERS, SERVICES, Whole, make_whole, once
from support.scripted import scripted_server
from support.service_fixture import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def engine_url(tmp_path: Path) -> Iterator[str]:
    with scripted_server(tmp_path) as url:
        yield url


@pytest_asyncio.fixture
async def whole(postgres_url: str, kafka_bootstrap: str, engine_url: str, tmp_path: Path) -> AsyncGenerator[Whole]:
    async with make_whole(postgres_url, kafka_bootstrap, engine_url, tmp_path) as made:
        yield made


async def test_a_wiped_read_model_is_equal_again_with_plans_older_than_their_topics(whole: Whole) -> None:
    """Without `plan.republish` of all plans nothing older than the topics would ever be seen again."""
    good = await whole.plan(203)
    failing = {"exit_code": 1, "run_seconds": 1.5}  # so long that its run is said before its end
    bad = await whole.plan(3, script=failing, retries={"max_attempts": 2, "delay_seconds": 0.1})
    paused = await whole.plan(5, script={"held": True}, rules={"limit": 1})
    await whole.ask("POST", f"/plans/{paused}/pause", {"reason": "to look"})
    await whole.until_ended(good, bad)
    await whole.planners.until_state(paused, "PAUSED")
    cancelled = await whole.plan(203, script={"never_ends": True}, rules={"limit": 2})
    await whole.ask("POST", f"/plans/{cancelled}/cancel", {"kill": True})
    await whole.until_ended(cancelled)
    await whole.until_quiet()
    await whole.forget_facts()
    before = await whole.dump()
    assert all(before.values()), "every table has something to lose"
    answers = await whole.gateways.value("SELECT array_agg(operation_id) FROM operation_answer")

    await whole.stop("api-gateway")
    said = await whole.admin_command("rebuild")
    assert said.startswith("emptied of 4 plans")
    empty = await whole.dump()
    assert not [table for table in ("plan", "task", "task_event", "engine_state") if empty[table]]
    await whole.start("api-gateway")
    await until_same(whole, before)
    assert await whole.gateways.value("SELECT array_agg(operation_id) @> $1 FROM operation_answer", answers)

    await whole.stop("api-gateway")
    await whole.gateways.rows("TRUNCATE plan, plan_page, task, task_event, task_attempt, engine_state")
    await whole.start("api-gateway")
    await until_same(whole, before)


async def test_a_replay_of_everything_changes_nothing(whole: Whole) -> None:
    """Without the inbox and versions deleted consumer offsets would run plans twice, or move them back."""
    good = await whole.plan(60)
    bad = await whole.plan(3, script={"exit_code": 1}, retries={"max_attempts": 2, "delay_seconds": 0.1})
    await whole.until_ended(good, bad)
    retried = await whole.ask("POST", f"/plans/{bad}/retry", {})
    await whole.until_ended(UUID(retried["id"]))
    await whole.until_quiet()
    before, owned, starts = await whole.dump(), await whole.owners(), await whole.executors.starts()
    read = await whole.read_so_far()
    groups = {group.removeprefix(whole.prefix) for group, _ in read}
    assert groups >= {group for name in OWNERS for group in SERVICES[name].groups}, "every group has read something"
    await whole.stop()
    await whole.forget_offsets()
    assert await whole.read_so_far() == {}
    await whole.start()
    await whole.until_read(read)
    await whole.until_quiet()
    await until_same(whole, before)
    assert await whole.owners() == owned
    assert await whole.executors.starts() == starts


@pytest.mark.parametrize("restored", OWNERS)
async def test_an_owner_restored_to_a_moment_ago_runs_nothing_twice_and_is_shown_as_it_is(
    whole: Whole, restored: str
) -> None:
    """Without the floor of versions its readers would take what it says for old; without the rewind what came since
    would be lost.
    """
    script = {"run_seconds": 0.5}
    first = await whole.plan(40, script=script, rules={"limit": 6})
    failing = await whole.plan(4, script={"exit_code": 1}, retries={"max_attempts": 3, "delay_seconds": 0.2})
    await whole.planners.until_plan(first, "version", lambda version: (version or 0) > 4)
    backup = await whole.remember(restored)
    ended = await ends(whole)
    second = await whole.plan(10, script=script)
    paused = await whole.plan(5, script={"run_seconds": 2}, rules={"limit": 1})
    await whole.ask("POST", f"/plans/{paused}/pause", {"reason": "to look"})
    await whole.planners.until_state(paused, "PAUSED")

    async def moved() -> bool:
        return await ends(whole) >= ended + 8

    await until(moved, why="eight more tasks ended since the backup")
    await whole.stop(restored)
    await backup.put_back()
    await whole.start(restored)
    await whole.until_ended(first, failing, second)
    await whole.planners.until_state(paused, "PAUSED")
    await whole.ask("POST", f"/plans/{paused}/resume", {})
    await whole.until_ended(paused)
    await whole.executors_ended()
    await whole.until_as_owned()
    tasks = await whole.executors.rows("SELECT id, state FROM task")
    once(await whole.executors.starts(), tasks)
    assert Counter(row["state"] for row in tasks) == {"SUCCEEDED": 55, "FAILED": 4}
    counts = await whole.planners.rows("SELECT state, counts::json ->> 'succeeded' AS good FROM plan ORDER BY 1, 2")
    assert [tuple(row.values()) for row in counts] == [
        ("COMPLETED_WITH_ERRORS", None), ("SUCCEEDED", "10"), ("SUCCEEDED", "40"), ("SUCCEEDED", "5"),
    ]  # fmt: skip


async def test_what_was_cancelled_since_the_backup_of_the_executor_does_not_start(whole: Whole) -> None:
    """Without reading first what came since, the queue of the backup would start."""
    plan = await whole.plan(30, script={"never_ends": True}, rules={"limit": 2})

    async def running() -> bool:
        states = await whole.executors.states()
        return states.get("RUNNING") == 2 and states.get("QUEUED") == 28

    await until(running, why="two run, the others wait for them")
    backup = await whole.remember("executor")
    await whole.ask("POST", f"/plans/{plan}/cancel", {"kill": True})
    await whole.until_ended(plan)
    await whole.stop("executor")
    await backup.put_back()
    assert (await whole.executors.states())["QUEUED"] == 28
    await whole.start("executor")
    await whole.executors_ended()
    await whole.until_as_owned()
    assert await whole.executors.states() == {"CANCELLED": 30}
    assert sorted((await whole.executors.starts()).values()) == [1, 1]


async def test_kafka_wiped_in_the_middle_of_work_loses_nothing(
    postgres_url: str, private_kafka: KafkaCluster, engine_url: str, tmp_path: Path
) -> None:
    """Without requests, commands and definitions said again what was on its way would never arrive."""
    async with make_whole(postgres_url, private_kafka.bootstrap, engine_url, tmp_path) as whole:
        script = {"run_seconds": 0.3}
        plans = [await whole.plan(30, script=script, rules={"limit": 5}) for _ in range(2)]
        await whole.planners.until_plan(plans[0], "version", lambda version: (version or 0) > 4)
        stopped = await whole.plan(5, script={"never_ends": True})
        await whole.planners.until_state(stopped, "RUNNING")
        # sent, and read by nobody: the planner is away
        await whole.stop("planner")
        plans.append(await whole.plan(20, script=script))
        await whole.ask("POST", f"/plans/{stopped}/cancel", {"kill": True})

        async def sent() -> bool:
            return not await whole.gateways.value("SELECT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)")

        await until(sent, why="the gateway's messages are on Kafka")
        await asyncio.to_thread(wiped, private_kafka)
        await whole.wiped()
        await whole.start("planner")
        await whole.until_ended(*plans, stopped, seconds=90)
        await whole.until_as_owned()
        tasks = await whole.executors.rows("SELECT id, state FROM task")
        once(await whole.executors.starts(), tasks)
        assert Counter(row["state"] for row in tasks) == {"SUCCEEDED": 80, "CANCELLED": 5}
        # an executor that comes later still learns of the engine
        await whole.executors.rows("DELETE FROM engine")
        await whole.stop("executor")
        await whole.start("executor")
        await whole.until_ended(await whole.plan(1))


def wiped(cluster: KafkaCluster) -> None:
    """The same broker at the same address, with nothing in it."""
    for node in cluster.nodes:
        node.kill()
        shutil.rmtree(node.folder / "data")
    cluster.start()


async def ends(whole: Whole) -> int:
    return await whole.executors.value("SELECT count(*) FROM task WHERE ended_at IS NOT NULL")


async def until_same(whole: Whole, before: dict[str, list[tuple[object, ...]]]) -> None:
    """Table by table; what differs is shown when time is up."""

    async def same() -> bool:
        return await whole.dump() == {**before, "engine_state": await whole.engines_said()}

    try:
        await until(same, seconds=40, why="the read model equal to what it was")
    except BaseException:
        for table, rows in (await whole.dump()).items():
            gone, new = set(before[table]) - set(rows), set(rows) - set(before[table])
            print(table, len(before[table]), len(rows), "gone", list(gone)[:2], "new", list(new)[:2])
        raise
