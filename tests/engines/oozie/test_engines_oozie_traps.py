"""What Oozie 5.2.1 does that nobody expects: each seen on the real server, and what the engine does about it.

The traps have the numbers 1 to 16. Those that are not here (1, 3, 4, 6, 10, 13, 14, 16) are in the tests of workflows,
coordinators and controls: their docstrings begin with the number.
"""

from uuid import uuid4

import pytest

from engines.oozie.world import World, find, rerun, watched
from signalbox_contracts.definitions.selection import OozieActions
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Watched

pytestmark = [pytest.mark.engine]
MISSING = "0000099-261122004647470-oozie-sbx"


async def test_what_somebody_else_reran_with_failnodes_is_rerun_and_a_kill_of_it_is_no_failure(
    world: World, engine: OozieEngine
) -> None:
    """Trap 2: a rerun with `failnodes` keeps the kill node of the run before, so it looks as if it had failed again."""
    hold = world.folder / "a.hold"
    hold.write_text("FAIL")
    target = await world.failed_workflow("wf-hold")
    hold.unlink()
    await world.hands.call("PUT", f"/v2/job/{target}", {"oozie.wf.rerun.failnodes": "true"}, action="rerun")
    await world.hands.until(target, {"RUNNING"})
    await world.hands.call("PUT", f"/v2/job/{target}", action="kill")
    theirs = await world.hands.until(target, {"KILLED"})
    assert [node for node in theirs["actions"] if node["type"] == ":KILL:"], "Oozie kept the old kill node"
    for scope in ("only_failed", "all"):
        submission = rerun(target, scope=scope)
        handle = await engine.submit(submission)
        await world.hands.until(target, {"RUNNING"})
        await world.hands.call("PUT", f"/v2/job/{target}", action="kill")
        await world.hands.until(target, {"KILLED"})
        seen = (await engine.observe([watched(submission, handle)]))[submission.run_key]
        assert (seen.phase, seen.handle) == (Phase.KILLED, handle)


async def test_an_error_without_header_and_body_says_nothing_of_what_was_done(
    world: World, engine: OozieEngine
) -> None:
    """Trap 9: errors of PUT have no body, and one that Oozie did not foresee has no header either."""
    coordinator = await world.coordinator(days=1)
    await world.hands.until(coordinator, {"KILLED"})
    status, code, body = await world.hands.try_call("PUT", f"/v2/job/{coordinator}", {}, action="coord-rerun")
    assert (status, code, body) == (500, "", "")
    with pytest.raises(EngineUnavailable) as unknown:
        await engine.rest.put(f"v2/job/{coordinator}", {}, action="coord-rerun")
    assert unknown.value.may_have_arrived
    status, code, body = await world.hands.try_call("PUT", f"/v2/job/{coordinator}", action="ignore", scope="1")
    assert (status, body) == (400, "")
    assert code


async def test_a_workflow_that_succeeded_is_not_rerun_in_name_only(world: World, engine: OozieEngine) -> None:
    """Trap 5: with a skip list of everything Oozie answers 200, `run` goes up and nothing runs."""
    target = await world.workflow("wf-fs3")
    await world.hands.until(target, {"SUCCEEDED"})
    nodes = [one["name"] for one in (await world.hands.info(target))["actions"] if not one["type"].startswith(":")]
    await world.hands.call("PUT", f"/v2/job/{target}", {"oozie.wf.rerun.skip.nodes": ",".join(nodes)}, action="rerun")
    done = await world.hands.until(target, {"SUCCEEDED"})
    assert done["run"] == 1
    with pytest.raises(EngineRefused, match="nothing would run"):
        await engine.submit(rerun(target, scope="only_failed"))
    assert (await world.hands.info(target))["run"] == 1


async def test_every_action_of_a_coordinator_is_found(world: World, engine: OozieEngine) -> None:
    """Trap 7: without `len` Oozie lists no action at all."""
    coordinator = await world.coordinator(days=3)
    await world.hands.until(coordinator, {"KILLED"})
    assert (await world.hands.call("GET", f"/v2/job/{coordinator}"))["actions"] == []
    found = await find(engine, OozieActions(coordinators=(coordinator,)))
    assert list(found) == [f"{coordinator}@{number}" for number in (1, 2, 3)]


async def test_what_does_not_exist_is_lost_whichever_code_says_so(world: World, engine: OozieEngine) -> None:
    """Trap 8: E0604, E0605 and E0307 all say so."""
    codes = {
        show: (await world.hands.try_call("GET", f"/v2/job/{MISSING}-W", show=show))[1]
        for show in ("info", "status", "log")
    }
    assert codes == {"info": "E0604", "status": "E0605", "log": "E0307"}
    runs = [Watched(run_key(uuid4(), 1), 1, handle) for handle in (f"{MISSING}-W", f"{MISSING}-W#1", f"{MISSING}-C")]
    seen = await engine.observe(runs)
    assert {seen[one.run_key].phase for one in runs} == {Phase.LOST}
    for one in runs:
        await engine.cancel(one)  # there is nothing to stop


async def test_the_coordinators_of_a_bundle_are_found_by_id_whatever_they_are_called(
    world: World, engine: OozieEngine
) -> None:
    """Trap 11: a coordinator in a bundle has the name that the bundle gives it, not its own."""
    application = f"{world.fixtures}/bundle"
    properties = {**world.properties("bundle"), "oozie.bundle.application.path": application}
    bundle = (await world.hands.call("POST", "/v2/jobs", properties, action="start"))["id"]
    info = await world.hands.until(bundle, {"SUCCEEDED", "KILLED", "DONEWITHERROR", "FAILED"})
    coordinators = {one["coordJobId"]: one["coordJobName"] for one in info["bundleCoordJobs"]}
    assert set(coordinators.values()) == {"north", "south"}
    found = await find(engine, OozieActions(bundles=(bundle,)))
    assert {key.partition("@")[0] for key in found} == set(coordinators)


async def test_a_kill_in_bulk_is_not_believed(world: World, engine: OozieEngine) -> None:
    """Trap 12: Oozie's bulk kill says that it killed nothing. Each of ours is read back."""
    submission = world.submit("wf-hold")
    handle = await engine.submit(submission)
    await world.hands.until(handle, {"RUNNING"})
    answer = await world.hands.call(
        "PUT", "/v2/jobs", action="kill", jobtype="wf", filter=f"id={handle};status=RUNNING"
    )  # fmt: skip
    assert answer.get("total") == 0
    await world.hands.until(handle, {"KILLED"})
    assert (await engine.observe([watched(submission, handle)]))[submission.run_key].phase is Phase.KILLED


async def test_the_failed_action_is_named_wherever_it_stands(world: World, engine: OozieEngine) -> None:
    """Trap 15: actions that never began come before `:start:`."""
    submission = world.submit("wf-elfail")
    handle = await engine.submit(submission)
    info = await world.hands.until(handle, {"FAILED", "KILLED"})
    names = [one["name"] for one in info["actions"]]
    assert names.index(":start:") > 0, names
    seen = (await engine.observe([watched(submission, handle)]))[submission.run_key]
    assert seen.phase is Phase.FAILED
    assert names[0] in seen.message
