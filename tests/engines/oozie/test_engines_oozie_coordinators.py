"""Actions of coordinators on a real Oozie: exactly the chosen ones are rerun, once, and no output is deleted."""

import asyncio
from pathlib import Path

import pytest

from engines.oozie.oozie_process import OozieProcess
from engines.oozie.test_engines_oozie_workflows import end
from engines.oozie.world import FIXTURES, World, new_submission, rerun, watched
from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.oozie.handles import parse_id
from signalbox_executor.engines.port import EngineRefused, WorldChanged

pytestmark = pytest.mark.engine
DONE = {"SUCCEEDED", "KILLED", "DONEWITHERROR"}


async def test_a_failed_action_is_rerun_with_a_new_workflow_of_ours(world: World, engine: OozieEngine) -> None:
    coordinator = await world.coordinator()
    before = await world.hands.until(coordinator, DONE)
    world.open_gate(2)
    expected = next(
        {"last_modified": a["lastModifiedTime"], "phase": a["status"], "external_id": a["externalId"]}
        for a in before["actions"] if a["actionNumber"] == 2
    )  # fmt: skip
    submission = rerun(f"{coordinator}@2", expected=expected)
    handle = await engine.submit(submission)
    assert (await end(engine, submission, handle)).phase is Phase.SUCCEEDED
    runs = await world.hands.call("GET", f"/v2/job/{coordinator}@2", show="allruns")
    assert len(runs["workflows"]) == 2
    assert await engine.submit(submission) == runs["workflows"][1]["id"]
    after = await world.hands.info(coordinator)
    others = [a["externalId"] for a in before["actions"] if a["actionNumber"] != 2]
    assert [a["externalId"] for a in after["actions"] if a["actionNumber"] != 2] == others


async def test_copies_of_one_rerun_are_one_workflow(world: World, engine: OozieEngine, oozie: OozieProcess) -> None:
    coordinator = await world.coordinator(days=1)
    await world.hands.until(coordinator, DONE)
    submission, other = rerun(f"{coordinator}@1"), world.engine_of(oozie.url)
    handles = await asyncio.gather(*(one.submit(submission) for one in (engine, other, engine)), return_exceptions=True)
    await end(engine, submission, next(handle for handle in handles if isinstance(handle, str)))
    again = rerun(f"{coordinator}@1", task=submission.task_id, resent=True)
    handle = await engine.submit(again)
    runs = await world.hands.call("GET", f"/v2/job/{coordinator}@1", show="allruns")
    assert [run["id"] for run in runs["workflows"]][1:] == [handle]
    await other.close()


@pytest.mark.core
async def test_output_stays_unless_the_rerun_says_otherwise(world: World, engine: OozieEngine) -> None:
    """Trap 10: Oozie deletes the output folders of a rerun unless it is told not to."""
    world.touch("raws/2026-01-01/_READY")
    coordinator = await world.coordinator("coord-data", days=1)
    await world.hands.until(coordinator, DONE)
    kept = world.folder / "outs/2026-01-01/kept"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("precious")
    keeping = rerun(f"{coordinator}@1")
    await end(engine, keeping, await engine.submit(keeping))
    assert kept.read_text() == "precious"
    cleaning = rerun(f"{coordinator}@1", clean_up=True)
    await end(engine, cleaning, await engine.submit(cleaning))
    assert not kept.exists()


async def test_overridden_properties_reach_the_new_workflow(world: World, engine: OozieEngine) -> None:
    coordinator = await world.coordinator(days=1)
    await world.hands.until(coordinator, DONE)
    world.touch("elsewhere/gate")
    submission = rerun(f"{coordinator}@1", properties={"gate": world.path("elsewhere/gate")})
    assert (await end(engine, submission, await engine.submit(submission))).phase is Phase.SUCCEEDED


async def test_an_action_that_runs_or_moved_is_left_alone(world: World, engine: OozieEngine) -> None:
    coordinator = await world.coordinator("coord-data", days=1)  # waits for its input
    await world.action(f"{coordinator}@1", "WAITING")
    with pytest.raises(EngineRefused, match="it is WAITING"):
        await engine.submit(rerun(f"{coordinator}@1"))
    with pytest.raises(EngineRefused, match="does not know this action"):
        await engine.submit(rerun(f"{coordinator}@9"))
    await world.hands.call("PUT", f"/v2/job/{coordinator}", action="kill", type="action", scope="1")
    await world.action(f"{coordinator}@1", "KILLED")
    with pytest.raises(WorldChanged, match="phase was TIMEDOUT, is KILLED"):
        await engine.submit(rerun(f"{coordinator}@1", expected={"phase": "TIMEDOUT"}))


async def test_skipping_nodes_of_an_action_goes_through_its_workflow(world: World, engine: OozieEngine) -> None:
    """The workflow is rerun in place, and the coordinator's action follows it."""
    coordinator = await world.coordinator(days=1)
    action = (await world.hands.until(coordinator, DONE))["actions"][0]
    world.open_gate(1)
    with pytest.raises(EngineRefused, match="name its workflow"):
        await engine.submit(rerun(f"{coordinator}@1", scope="only_failed"))
    submission = rerun(action["externalId"], scope="only_failed")
    assert (await end(engine, submission, await engine.submit(submission))).phase is Phase.SUCCEEDED
    await world.action(f"{coordinator}@1", "SUCCEEDED")


async def test_killed_coordinators_can_be_rerun_and_suspended_ones_are_resumed(
    world: World, engine: OozieEngine
) -> None:
    """Trap 6, 13 and 14."""
    coordinator = await world.coordinator(days=1)
    assert (await world.hands.until(coordinator, DONE))["status"] == "KILLED"  # though nobody killed it
    world.open_gate(1)
    submission = rerun(f"{coordinator}@1")
    assert (await end(engine, submission, await engine.submit(submission))).phase is Phase.SUCCEEDED
    waiting = await world.coordinator("coord-data", days=2)
    id = parse_id(waiting)
    await world.action(f"{waiting}@1", "WAITING")
    assert await engine.controller.suspend(id) == "SUSPENDED"
    assert await engine.controller.resume(id) == "RUNNING"
    await engine.controller.change(id, concurrency=1)
    assert (await world.hands.info(waiting))["concurrency"] == 1
    await engine.controller.kill(waiting)
    await world.hands.until(waiting, {"KILLED"})


async def test_coordinators_and_bundles_are_submitted_once_and_followed(
    world: World, engine: OozieEngine, tmp_path: Path
) -> None:
    world.open_gate(1)
    for kind, application in (("coordinator", "coord-gate"), ("bundle", "bundle")):
        properties = {**world.properties(application), "end": "2026-01-02T00:00Z"}
        work = OozieWork(object=kind, application_path=f"{FIXTURES}/{application}", properties=properties)  # type: ignore[arg-type]
        submission = new_submission(work)
        handle = await engine.submit(submission)
        assert await engine.submit(new_submission(work, task=submission.task_id, resent=True)) == handle
        seen = await end(engine, submission, handle)
        assert seen.phase is (Phase.SUCCEEDED if kind == "coordinator" else Phase.FAILED), seen
        await engine.cancel(watched(submission, handle))
