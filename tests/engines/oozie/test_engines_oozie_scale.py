"""Large numbers on a real Oozie, through the whole stack: `LONG=1 make test-oozie` runs these."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from engines.oozie.oozie_process import Hands, OozieProcess
from engines.oozie.product import DONE, ENDS, actions, apply, gated_coordinator, items, plan_in, preview, tree
from engines.oozie.world import FIXTURES, World, until
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.port import Watched
from support.full_stack import FullStack

pytestmark = [
    pytest.mark.engine, pytest.mark.long, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200),
]  # fmt: skip
AT_ONCE = 12


async def inert_workflows(world: World, number: int, user: str) -> list[str]:
    """Workflows that nobody starts, of a user of their own."""
    hands = Hands(world.hands.url, user)
    properties = {**world.properties("wf-fs3"), "oozie.wf.application.path": f"{FIXTURES}/wf-fs3"}
    places = asyncio.Semaphore(AT_ONCE)

    async def make() -> str:
        async with places:
            return (await hands.call("POST", "/v2/jobs", properties))["id"]

    return await asyncio.gather(*(make() for _ in range(number)))


async def test_ten_actions_of_thirty_are_rerun_and_no_byte_of_output_changes(world: World, stack: FullStack) -> None:
    failing = {2, 3, 5, 8, 13, 17, 21, 28, 29, 30}
    coordinator = await gated_coordinator(world, 30, failing)
    for day in failing:
        world.open_gate(day)
    before, output = await world.hands.info(coordinator), tree(world.folder / "outs")
    plan = await preview(stack, actions(coordinator), rules={"limit": 5})
    assert (plan["counts"]["waiting"], plan["counts"]["skipped"]) == (10, 20)
    ended = await apply(stack, plan)
    assert ended["state"] == "SUCCEEDED", ended["reason"]
    after = await world.hands.info(coordinator)
    pairs = zip(before["actions"], after["actions"], strict=True)
    assert {old["actionNumber"] for old, new in pairs if old["externalId"] != new["externalId"]} == failing
    assert {name: data for name, data in tree(world.folder / "outs").items() if name in output} == output


async def test_a_bundle_of_two_coordinators_is_rerun_over_a_week(world: World, stack: FullStack) -> None:
    properties = {**world.properties("bundle"), "end": "2026-01-15T00:00Z", "concurrency": "14"}
    properties["oozie.bundle.application.path"] = f"{FIXTURES}/bundle"
    bundle = (await world.hands.call("POST", "/v2/jobs", properties, action="start"))["id"]
    info = await world.hands.until(bundle, DONE, 240)
    coordinators = [one["coordJobId"] for one in info["bundleCoordJobs"]]
    assert len(coordinators) == 2
    for gates in ("north", "south"):
        for day in range(1, 15):
            world.touch(f"bundle/{gates}/gates/2026-01-{day:02d}")
    week = ["2026-01-05T00:00:00Z", "2026-01-11T00:00:00Z"]
    plan = await preview(stack, {"kind": "oozie_actions", "bundles": [bundle], "dates": [week]})
    assert plan["counts"]["waiting"] == 14
    wanted = {f"{coordinator}@{number}" for coordinator in coordinators for number in range(5, 12)}
    assert {item["key"] for item in await items(stack, plan)} == wanted
    await apply(stack, plan)
    for coordinator in coordinators:
        runs = {}
        for number in range(1, 15):
            answer = await world.hands.call("GET", f"/v2/job/{coordinator}@{number}", show="allruns")
            runs[number] = len(answer["workflows"])
        assert runs == {number: 2 if 5 <= number <= 11 else 1 for number in range(1, 15)}


async def test_a_preview_of_500_actions_is_refused_with_exactly_the_two_that_changed(
    world: World, stack: FullStack
) -> None:
    """The application is missing, so each action fails as soon as it is submitted, and no workflow is run."""
    missing = f"{FIXTURES}/wf-missing"
    coordinator = await world.coordinator(
        start="2024-01-01T00:00Z", end="2025-05-15T00:00Z", concurrency="50", wfPath=missing
    )
    info = await world.hands.until(coordinator, DONE | {"FAILED"}, 1000)
    assert info["total"] == 500
    plan = await preview(stack, actions(coordinator))
    assert plan["counts"]["waiting"] == 500
    before = {number: await world.action(f"{coordinator}@{number}") for number in ("77", "402")}
    for number, old in before.items():
        await world.hands.call(
            "PUT", f"/v2/job/{coordinator}", {}, action="coord-rerun", type="action", scope=number, nocleanup="true"
        )
        await until(
            lambda number=number: world.hands.call("GET", f"/v2/job/{coordinator}@{number}"),
            lambda action, old=old: (
                action["status"] == old["status"] and action["lastModifiedTime"] != old["lastModifiedTime"]
            ),
        )
    ended = await apply(stack, plan)
    assert ended["state"] == "REFUSED"
    assert {one["key"] for one in ended["difference"]["changed"]} == {f"{coordinator}@77", f"{coordinator}@402"}
    assert ended["difference"]["counts"] == {"changed": 2, "added": 0, "removed": 0}


async def test_ten_thousand_workflows_are_selected_within_a_minute_and_a_thousand_observed_in_three_calls(
    world: World, stack: FullStack, oozie: OozieProcess
) -> None:
    ids = await inert_workflows(world, 10_000, "bulk")
    began = time.monotonic()
    selection = {"kind": "oozie_workflows", "user": "bulk", "rerun": {"policy": "all"}}
    plan = await preview(stack, selection)
    took = time.monotonic() - began
    assert plan["counts"]["total"] == 10_000
    assert took < 60, f"{took:.1f} s"
    calls: list[str] = []
    engine = World.engine_of(oozie.url)
    plain = engine.rest._request  # pyright: ignore[reportPrivateUsage]

    async def counted(method: str, path: str, *more: Any) -> bytes:
        calls.append(path)
        return await plain(method, path, *more)

    engine.rest._request = counted  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage]
    watched = [Watched(f"sb-{number}", 1, id) for number, id in enumerate(ids[:1000])]
    began = time.monotonic()
    seen = await engine.observe(watched)
    print(f"10,000 items previewed in {took:.1f} s; 1,000 observed in {time.monotonic() - began:.2f} s, {calls}")
    assert {one.phase for one in seen.values()} == {Phase.SUBMITTED}
    assert len(seen) == 1000
    assert len(calls) <= 3
    await engine.close()


async def submitted(stack: FullStack, engine: str, world: World, names: Sequence[str]) -> Any:
    """A plan of workflows."""
    work = [
        {"kind": "oozie", "application_path": f"{FIXTURES}/wf-move", "properties": world.properties("wf-move", name)}
        for name in names
    ]
    listed = [{"key": name, "engine": engine, "work": one} for name, one in zip(names, work, strict=True)]
    return await stack.ask("POST", "/plans", {"name": "twenty", "items": listed})


async def test_a_server_killed_in_the_middle_of_twenty_workflows_leaves_each_with_its_true_end(
    world: World, stack: FullStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = OozieProcess.in_folder(tmp_path_factory.mktemp("killed"), keeps_database=True)
    await asyncio.to_thread(server.start)
    try:
        connection = {"kind": "oozie", "url": server.url, "user": "alice", "local_files": True}
        body = {"id": "ooz-killed", "name": "Oozie", "connection": connection, "observe_every_seconds": 0.2}
        await stack.ask("POST", "/engines", body)
        names = [f"w{number:02d}" for number in range(20)]
        for name in names[::2]:
            world.touch(f"{name}/source/file")
        plan = await submitted(stack, "ooz-killed", world, names)
        hands = Hands(server.url)
        await until(lambda: listed(hands), lambda jobs: len(jobs) >= 7)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        ended = await plan_in(stack, plan["id"], ENDS, 300)
        assert (ended["counts"]["succeeded"], ended["counts"]["failed"]) == (10, 10), ended
        found = await stack.ask("GET", f"/tasks?plan={plan['id']}&limit=50")
        states = {task["item_key"]: task["state"] for task in found["items"]}
        assert states == {name: "FAILED" if number % 2 else "SUCCEEDED" for number, name in enumerate(names)}
        jobs = await listed(hands)
        started = [job["appName"] for job in jobs if job["startTime"]]
        assert sorted(started) == sorted(f"move-{name}" for name in names)
    finally:
        await asyncio.to_thread(server.stop)


async def listed(hands: Hands) -> list[Any]:
    answer = await hands.call("GET", "/v2/jobs", jobtype="wf", len="200")
    return answer["workflows"]
