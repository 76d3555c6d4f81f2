"""Workflows on a real Oozie: submitted once, reruns of exactly what was meant, and every trap of 5.2.1 avoided."""

import asyncio
from pathlib import Path

import pytest

from engines.oozie.oozie_process import OozieProcess
from engines.oozie.world import World, rerun, until, watched
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.port import ENDS, EngineRefused, Observation, Submission, WorldChanged

pytestmark = pytest.mark.engine


async def end(engine: OozieEngine, of: Submission, handle: str) -> Observation:
    """The end of a run, by observing it as the executor does."""
    seen = await until(lambda: engine.observe([watched(of, handle)]), lambda seen: seen[of.run_key].phase in ENDS)
    return seen[of.run_key]


@pytest.mark.core
async def test_a_workflow_is_submitted_and_seen_to_its_end(world: World, engine: OozieEngine) -> None:
    submission = world.submit("wf-fs3")
    handle = await engine.submit(submission)
    seen = await end(engine, submission, handle)
    assert (seen.phase, seen.cause) == (Phase.SUCCEEDED, EndCause.COMPLETED)
    assert await engine.submit(submission) == handle


async def test_copies_of_one_submit_by_several_executors_start_one_workflow(
    world: World, engine: OozieEngine, oozie: OozieProcess
) -> None:
    """Oozie accepts every copy: without sorting them out the work would run several times."""
    others = [world.engine_of(oozie.url) for _ in range(4)]
    for round in range(3):
        submission = world.submit("wf-hold", f"r{round}")
        handles = await asyncio.gather(*(one.submit(submission) for one in (engine, *others)))
        assert len(set(handles)) == 1
        listed = await world.hands.call("GET", "/v2/jobs", jobtype="wf", len="200")
        mine = [job for job in listed["workflows"] if job["externalId"] == submission.run_key]
        assert [job["id"] for job in mine if job["startTime"]] == [handles[0]]
        assert {job["status"] for job in mine if job["id"] != handles[0]} <= {"KILLED"}
        await engine.cancel(watched(submission, handles[0]))
    for one in others:
        await one.close()


@pytest.mark.core
async def test_a_rerun_from_the_failed_node_keeps_what_was_done(world: World, engine: OozieEngine) -> None:
    target = await world.failed_workflow("wf-move")
    world.touch("a/source/file")
    submission = rerun(target, scope="skip_successful", expected={"run": 0, "phase": "KILLED"})
    handle = await engine.submit(submission)
    assert handle == f"{target}#1"
    assert (await end(engine, submission, handle)).phase is Phase.SUCCEEDED
    info = await world.hands.info(target)
    assert (info["run"], info["externalId"]) == (1, submission.run_key)
    assert {node["name"] for node in info["actions"] if node["status"] == "OK"} >= {"prepare", "take", "publish"}


async def test_a_decision_is_decided_again_and_no_old_kill_node_is_left(world: World, engine: OozieEngine) -> None:
    """Trap 1 and 2: `failnodes=true` takes the old branch without looking, and keeps the old kill node."""
    target = await world.failed_workflow("wf-gate")
    world.touch("a/gate")
    submission = rerun(target, scope="only_failed")
    handle = await engine.submit(submission)
    assert (await end(engine, submission, handle)).phase is Phase.SUCCEEDED
    info = await world.hands.info(target)
    assert not [node for node in info["actions"] if node["type"] == ":KILL:"]


async def test_a_full_rerun_after_one_with_a_skip_list_skips_nothing(world: World, engine: OozieEngine) -> None:
    """Trap 3: the list is stored with the job, so a full rerun must send an empty one."""
    target = await world.failed_workflow("wf-move")
    first = rerun(target, scope="skip_successful")
    assert (await end(engine, first, await engine.submit(first))).phase is Phase.FAILED
    world.touch("a/source/file")
    second = rerun(target, scope="all")
    assert (await end(engine, second, await engine.submit(second))).phase is Phase.SUCCEEDED
    info = await world.hands.info(target)
    began = {node["name"]: node["startTime"] for node in info["actions"]}
    assert info["run"] == 2
    assert began["prepare"] is not None
    assert "oozie.wf.rerun.failnodes" not in info["conf"]


async def test_no_node_but_a_successful_action_can_be_skipped(world: World, engine: OozieEngine) -> None:
    """Trap 4: Oozie accepts a failed node in the list and runs nothing, straight to the kill node."""
    target = await world.failed_workflow("wf-move")
    for names, words in ((("take",), "ERROR"), (("fail",), "KILL"), (("nothing",), "not in this workflow")):
        with pytest.raises(EngineRefused, match=words):
            await engine.submit(rerun(target, skip_nodes=names))
    assert (await world.hands.info(target))["run"] == 0


async def test_chosen_nodes_are_rerun_and_a_wrong_name_is_refused(world: World, engine: OozieEngine) -> None:
    world.touch("a/source/file")
    target = await world.workflow("wf-move")
    await world.hands.until(target, {"SUCCEEDED"})
    with pytest.raises(EngineRefused, match="prepaer") as refused:
        await engine.submit(rerun(target, scope="nodes", nodes=("prepaer",)))
    assert refused.value.field == "work.nodes"
    submission = rerun(target, scope="nodes", nodes=("publish",))
    assert (await end(engine, submission, await engine.submit(submission))).phase is Phase.SUCCEEDED
    assert (await world.hands.info(target))["run"] == 1


async def test_copies_of_one_rerun_are_one_rerun(world: World, engine: OozieEngine, oozie: OozieProcess) -> None:
    target = await world.failed_workflow("wf-move")
    submission = rerun(target, scope="all", expected={"run": 0})
    other = world.engine_of(oozie.url)
    handles = await asyncio.gather(*(one.submit(submission) for one in (engine, other, engine, other)))
    await end(engine, submission, handles[0])
    again = await engine.submit(rerun(target, task=submission.task_id, resent=True, scope="all", expected={"run": 0}))
    assert {*handles, again} == {f"{target}#1"}
    assert (await world.hands.info(target))["run"] == 1
    await other.close()


async def test_a_target_that_moved_is_not_rerun(world: World, engine: OozieEngine) -> None:
    target = await world.failed_workflow("wf-move")
    await world.hands.call("PUT", f"/v2/job/{target}", {"oozie.wf.rerun.skip.nodes": ","}, action="rerun")
    await world.hands.until(target, {"KILLED"})
    with pytest.raises(WorldChanged, match="run was 0, is 1"):
        await engine.submit(rerun(target, scope="all", expected={"run": 0, "phase": "KILLED"}))
    assert (await world.hands.info(target))["run"] == 1


async def test_the_next_attempt_reruns_what_the_first_one_moved(world: World, engine: OozieEngine) -> None:
    target = await world.failed_workflow("wf-move")
    first = rerun(target, scope="skip_successful", expected={"run": 0})
    assert (await end(engine, first, await engine.submit(first))).phase is Phase.FAILED
    world.touch("a/source/file")
    second = rerun(target, task=first.task_id, attempt=2, scope="skip_successful", expected={"run": 0})
    handle = await engine.submit(second)
    assert handle == f"{target}#2"
    assert (await end(engine, second, handle)).phase is Phase.SUCCEEDED


async def test_running_and_unknown_workflows_are_refused_by_name(world: World, engine: OozieEngine) -> None:
    running = await world.workflow("wf-hold")
    await world.hands.until(running, {"RUNNING"})
    missing = "0000099-261122004647470-oozie-sbx-W"
    bad = {
        running: "it is RUNNING",
        missing: "does not know",
        "0000001-261122004647470-oozie-sbx-B": "a bundle is rerun as",
        "0000001-261122004647470-oozie-sbx-C": "name one as coordinator@number",
        "nonsense": "is no Oozie id",
    }
    for target, words in bad.items():
        with pytest.raises(EngineRefused, match=words) as refused:
            await engine.submit(rerun(target))
        assert refused.value.field == "work.target"
    await world.hands.call("PUT", f"/v2/job/{running}", action="kill")


async def test_a_kill_is_distinguished_from_a_failure(world: World, engine: OozieEngine) -> None:
    """Oozie says KILLED for both."""
    failing, killed = world.submit("wf-gate", "f"), world.submit("wf-hold", "k")
    first, second = await engine.submit(failing), await engine.submit(killed)
    failed = await end(engine, failing, first)
    await world.hands.until(second, {"RUNNING"})
    await world.hands.call("PUT", f"/v2/job/{second}", action="kill")
    seen = await end(engine, killed, second)
    assert (failed.phase, failed.cause) == (Phase.FAILED, EndCause.FAILED)
    assert "gate" in failed.message
    assert "is closed" in failed.message
    assert (seen.phase, seen.cause) == (Phase.KILLED, EndCause.KILLED)


async def test_an_expression_that_cannot_be_evaluated_is_named(world: World, engine: OozieEngine) -> None:
    """Trap 16: such an action has no start time and no external status."""
    submission = world.submit("wf-elfail")
    seen = await end(engine, submission, await engine.submit(submission))
    assert seen.phase is Phase.FAILED
    assert "broken" in seen.message
    assert "EL_ERROR" in seen.message


async def test_a_cancel_ends_only_the_run_it_means(world: World, engine: OozieEngine) -> None:
    target = await world.failed_workflow("wf-move")
    old = rerun(target, scope="all")
    handle = await engine.submit(old)
    await end(engine, old, handle)
    world.touch("a/source/file")
    await world.hands.call(
        "PUT", f"/v2/job/{target}", {"oozie.wf.rerun.skip.nodes": ",", "oozie.suspend.on.nodes": "take"}, action="rerun"
    )
    await world.hands.until(target, {"SUSPENDED"})
    await engine.cancel(watched(old, handle))
    assert (await world.hands.info(target))["status"] == "SUSPENDED"
    assert (await engine.observe([watched(old, handle)]))[old.run_key].phase is Phase.LOST
    await world.hands.call("PUT", f"/v2/job/{target}", action="kill")


async def test_safe_mode_is_an_outage_and_changes_nothing(world: World, engine: OozieEngine) -> None:
    target = await world.failed_workflow("wf-move")
    await world.hands.call("PUT", "/v2/admin/status", systemmode="SAFEMODE")
    try:
        with pytest.raises(Exception, match="safe mode") as outage:
            await engine.submit(rerun(target))
        assert type(outage.value).__name__ == "EngineUnavailable"
        assert not outage.value.may_have_arrived  # type: ignore[attr-defined]
    finally:
        await world.hands.call("PUT", "/v2/admin/status", systemmode="NORMAL")
    assert (await world.hands.info(target))["run"] == 0


async def test_wrong_paths_and_reserved_properties_are_refused_with_the_field(
    world: World, engine: OozieEngine, tmp_path: Path
) -> None:
    submission = world.submit("wf-that-is-not-there")
    with pytest.raises(EngineRefused, match="E0307") as refused:
        await engine.submit(submission)
    assert refused.value.field == "work.application_path"
    target = await world.failed_workflow()
    for name, value in (("oozie.wf.rerun.failnodes", "true"), ("oozie.wf.external.id", "x"), ("empty", "")):
        with pytest.raises(EngineRefused) as wrong:
            await engine.submit(rerun(target, properties={name: value}))
        assert wrong.value.field == f"work.properties.{name}"
    assert (await world.hands.info(target))["run"] == 0
