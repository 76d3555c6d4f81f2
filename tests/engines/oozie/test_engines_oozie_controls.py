"""An operator's controls of any job on a real Oozie: each is read back, refused where Oozie would do nothing, shown."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from engines.oozie.test_engines_oozie_workflows import end
from engines.oozie.world import World, rerun, until
from signalbox_contracts.definitions.selection import OozieWorkflows, RerunRules
from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.port import EngineRefused

pytestmark = pytest.mark.engine
DONE = {"SUCCEEDED", "KILLED", "DONEWITHERROR"}
ABOUT = {"operation_id": uuid4(), "actor": "user:ann", "engine_id": "ooz"}


async def control(engine: OozieEngine, job: str, action: str, **more: Any) -> Mapping[str, Any]:
    return await engine.control_job(OozieControlData.model_validate({**ABOUT, "job": job, "action": action, **more}))


async def show(engine: OozieEngine, job: str, document: str) -> str:
    found = await engine.show_job(OozieShowData.model_validate({**ABOUT, "job": job, "document": document}))
    assert found["command"].startswith("oozie job -oozie http://")  # type: ignore[union-attr]
    return str(found["text"])


async def test_a_workflow_is_held_let_go_and_killed_and_each_state_is_read_back(
    world: World, engine: OozieEngine
) -> None:
    job = await world.workflow("wf-hold")
    await world.hands.until(job, {"RUNNING"})
    for action, state in (("suspend", "SUSPENDED"), ("resume", "RUNNING"), ("kill", "KILLED"), ("kill", "KILLED")):
        answered = await control(engine, job, action)
        assert answered["state"] == (await world.hands.info(job))["status"] == state
        assert answered["command"].endswith(f"-{action} {job}")
    for action in ("suspend", "resume"):
        with pytest.raises(EngineRefused, match="it is KILLED"):
            await control(engine, job, action)
    with pytest.raises(EngineRefused, match="does not know it"):
        await control(engine, "0000099-261122004647470-oozie-sbx-W", "kill")


async def test_actions_are_killed_and_ignored_by_number_and_a_coordinator_is_changed(
    world: World, engine: OozieEngine
) -> None:
    """Trap 9: errors of PUT have no body. Their codes are read from the headers."""
    job = await world.coordinator("coord-data", days=3)
    await world.action(f"{job}@3", "WAITING")
    assert (await control(engine, job, "kill", numbers=(1, 3)))["state"] == "1 KILLED, 3 KILLED"
    assert (await control(engine, f"{job}@1", "ignore"))["state"] == "1 IGNORED"
    with pytest.raises(EngineRefused, match="E1024"):
        await control(engine, job, "ignore", numbers=(2,))
    changed = {"concurrency": 2, "pause_at": "2026-01-05T02:00:00+02:00"}
    answered = await control(engine, job, "change", **changed)
    assert "-value 'concurrency=2;pausetime=2026-01-05T00:00Z'" in answered["command"]
    with pytest.raises(EngineRefused, match="E1022"):
        await control(engine, job, "change", end_at="2026-01-01T00:00:00Z")
    info = await world.hands.info(job)
    assert (info["concurrency"], info["endTime"]) == (2, "Sun, 04 Jan 2026 00:00:00 GMT")
    assert (await control(engine, job, "kill"))["state"] == "KILLED"
    assert (await control(engine, job, "ignore"))["state"] == "IGNORED"


async def test_resuming_a_coordinator_resumes_what_a_rerun_left_suspended(world: World, engine: OozieEngine) -> None:
    """Trap 13: after the rerun of one action the coordinator is RUNNING, and its other workflows stay suspended."""
    holding = {"wfPath": f"{world.fixtures}/wf-hold"}
    job = await world.coordinator(days=2, concurrency="1", **holding)
    first = await world.action(f"{job}@1", "RUNNING")
    await world.hands.call("PUT", f"/v2/job/{first['externalId']}", action="kill")
    await world.action(f"{job}@1", "KILLED")
    second = await world.action(f"{job}@2", "RUNNING")
    assert (await control(engine, job, "suspend"))["state"] == "SUSPENDED"
    await world.action(f"{job}@2", "SUSPENDED")
    await world.hands.until(second["externalId"], {"SUSPENDED"})
    submission = rerun(f"{job}@1")
    await engine.submit(submission)
    await until(lambda: world.hands.info(job), lambda info: info["status"] == "RUNNING")
    assert (await world.hands.info(second["externalId"]))["status"] == "SUSPENDED"
    await control(engine, job, "resume")
    await world.hands.until(second["externalId"], {"RUNNING"})
    await control(engine, job, "kill")


async def test_every_text_that_oozie_has_of_a_job_is_shown(world: World, engine: OozieEngine) -> None:
    job = await world.workflow("wf-move", "a", dbPassword="s3cr3t")
    await world.hands.until(job, {"KILLED"})
    assert "<workflow-app" in await show(engine, job, "definition")
    configuration = await show(engine, job, "configuration")
    assert f"source={world.path('a/source')}" in configuration
    assert "dbPassword=***" in configuration
    assert '"status":"KILLED"' in await show(engine, job, "info")
    assert "FS006" in await show(engine, job, "log")
    await show(engine, job, "errorlog")
    await world.hands.call("PUT", f"/v2/job/{job}", {"oozie.wf.rerun.skip.nodes": ","}, action="rerun")
    await until(lambda: show(engine, job, "auditlog"), lambda text: "alice" in text)
    coordinator = await world.coordinator(days=1)
    await world.hands.until(coordinator, DONE)
    assert "<coordinator-app" in await show(engine, coordinator, "definition")
    assert "gate=" in await show(engine, f"{coordinator}@1", "configuration")
    await show(engine, f"{coordinator}@1", "log")
    with pytest.raises(EngineRefused, match="does not know it"):
        await show(engine, "0000099-261122004647470-oozie-sbx-W", "log")


async def test_the_command_of_a_preview_skips_the_nodes_that_the_rerun_skips(world: World, engine: OozieEngine) -> None:
    job = await world.failed_workflow("wf-move")
    rules = RerunRules(scope="skip_successful")
    page = await engine.resolve_selection(OozieWorkflows(ids=(job,), rerun=rules))
    command = str(page.items[0].details["command"])  # type: ignore[index, call-overload]
    assert command.endswith("-Doozie.wf.rerun.failnodes=false -Doozie.wf.rerun.skip.nodes=prepare")
    world.touch("a/source/file")
    submission = rerun(job, scope="skip_successful")
    assert (await end(engine, submission, await engine.submit(submission))).phase is Phase.SUCCEEDED
    assert "oozie.wf.rerun.skip.nodes=prepare" in await show(engine, job, "configuration")
