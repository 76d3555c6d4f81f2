"""Reruns through the whole stack on a real Oozie: API and command line, preview, apply or refuse, brake and overlap."""

import json
import subprocess
from asyncio import gather
from typing import Any
from uuid import UUID, uuid4

import pytest

from engines.oozie.product import (
    DONE,
    ENDS,
    actions,
    apply,
    command_line,
    gated_coordinator,
    items,
    plan_in,
    preview,
    tree,
)
from engines.oozie.world import World, until
from support.full_stack import FullStack

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest.mark.core
async def test_exactly_the_failed_actions_are_rerun_and_no_output_is_touched(world: World, stack: FullStack) -> None:
    failing = {3, 7, 8, 9, 10}
    coordinator = await gated_coordinator(world, 12, failing)
    for day in failing:
        world.open_gate(day)
    before, output = await world.hands.info(coordinator), tree(world.folder / "outs")
    plan = await preview(stack, actions(coordinator), rules={"limit": 4})
    assert plan["counts"]["waiting"] == 5
    assert plan["counts"]["skipped"] == 7
    decided = {item["key"].partition("@")[2]: item["decision"] for item in await items(stack, plan)}
    assert {int(number) for number, decision in decided.items() if decision == "run"} == failing
    ended = await apply(stack, plan)
    assert ended["state"] == "SUCCEEDED", ended["reason"]
    after = await world.hands.info(coordinator)
    moved = {
        old["actionNumber"]
        for old, new in zip(before["actions"], after["actions"], strict=True)
        if old["externalId"] != new["externalId"]
    }
    assert moved == failing
    assert {name: data for name, data in tree(world.folder / "outs").items() if name in output} == output


async def test_a_clean_up_needs_the_confirmation_of_what_it_deletes(world: World, stack: FullStack) -> None:
    """And the forecast and the export of a previewed plan say what is known before anything runs."""
    world.touch("raws/2026-01-01/_READY")
    coordinator = await world.coordinator("coord-data", days=1)
    await world.hands.until(coordinator, DONE)
    out = world.folder / "outs/2026-01-01"
    out.mkdir(parents=True, exist_ok=True)
    (out / "part-0").write_text("12345")
    plan = await preview(stack, actions(coordinator, clean_up=True))
    (item,) = await items(stack, plan)
    assert item["deletes"][0].startswith(f"{world.path('outs/2026-01-01')}: 1 files, 5 bytes, the newest is part-0")
    place = f"/plans/{plan['id']}"
    applied = await stack.ask("POST", f"{place}/apply", {"preview_hash": plan["preview_hash"]})
    unconfirmed = await stack.ask("GET", f"/operations/{applied['operation_id']}?wait=20s&until=end")
    assert unconfirmed["state"] == "refused"
    assert "confirm_deletions is needed: applying deletes the 1 directories previewed" in unconfirmed["answer"]
    forecast = await stack.ask("GET", f"{place}/forecast")
    assert (forecast["items_left"], forecast["forecast"]["bound_by"]) == (1, "items")
    lines = (await stack.answer("GET", f"{place}/export?form=csv")).text.splitlines()
    assert lines[0].startswith("position,key,decision,reason,engine,task_id,state")
    assert f"{coordinator}@1" in lines[1]
    (line,) = (await stack.answer("GET", f"{place}/export")).text.splitlines()
    assert json.loads(line)["deletes"] == item["deletes"]
    assert (out / "part-0").read_text() == "12345"
    assert (await stack.ask("GET", place))["state"] == "PREVIEWED"
    confirmed = {"preview_hash": plan["preview_hash"], "confirm_deletions": True}
    await stack.ask("POST", f"{place}/apply", confirmed)
    await plan_in(stack, plan["id"], ENDS)
    assert not (out / "part-0").exists()


@pytest.mark.core
async def test_apply_refuses_with_exactly_what_changed_behind_our_back(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 8, set(range(1, 9)))
    plan = await preview(stack, actions(coordinator))
    assert plan["counts"]["waiting"] == 8
    for number in ("2", "5"):
        await world.hands.call(
            "PUT", f"/v2/job/{coordinator}", {}, action="coord-rerun", type="action", scope=number, nocleanup="true"
        )
        await until(
            lambda number=number: world.hands.call("GET", f"/v2/job/{coordinator}@{number}"),
            lambda action: action["status"] == "KILLED" and action["externalId"],
        )
    ended = await apply(stack, plan)
    assert ended["state"] == "REFUSED"
    assert {one["key"] for one in ended["difference"]["changed"]} == {f"{coordinator}@2", f"{coordinator}@5"}
    assert ended["difference"]["counts"] == {"changed": 2, "added": 0, "removed": 0}
    assert ended["counts"]["waiting"] == 0


async def test_two_plans_over_the_same_actions_rerun_none_twice(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 4, {1, 2, 3, 4})
    first = await preview(stack, actions(coordinator), rules={"limit": 1})
    second = await preview(stack, actions(coordinator))
    await stack.ask("POST", f"/plans/{first['id']}/apply", {"preview_hash": first["preview_hash"]})
    await plan_in(stack, first["id"], ENDS | {"RUNNING"})
    refused = await apply(stack, second)
    assert refused["state"] == "REFUSED"
    third = await preview(stack, actions(coordinator))
    if third["state"] == "PREVIEWED":  # the first plan may have ended meanwhile
        owned = [item for item in await items(stack, third) if item.get("owner_plan")]
        assert {item["owner_plan"] for item in owned} <= {first["id"]}
    await plan_in(stack, first["id"], ENDS)
    for number in range(1, 5):
        runs = await world.hands.call("GET", f"/v2/job/{coordinator}@{number}", show="allruns")
        assert len(runs["workflows"]) == 2


async def test_a_canary_that_fails_stops_the_plan_and_so_does_the_brake(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 12, set(range(1, 13)))
    canary = await apply(stack, await preview(stack, actions(coordinator), rules={"canary": {"first": 2}}))
    assert (canary["state"], canary["counts"]["failed"], canary["counts"]["cancelled"]) == ("FAILED", 2, 10)
    assert "canary failed" in canary["reason"]
    rules = {"limit": 1, "brake": {"failure_ratio": 0.2, "after_items": 3}}
    braked = await apply(stack, await preview(stack, actions(coordinator), rules=rules))
    assert (braked["state"], braked["counts"]["failed"], braked["counts"]["cancelled"]) == ("FAILED", 3, 9)


@pytest.mark.core
async def test_workflows_are_rerun_from_the_failed_node_and_failures_retried(world: World, stack: FullStack) -> None:
    ids = [await world.failed_workflow("wf-move", f"m{number}") for number in range(3)]
    world.touch("m0/source/file")
    rerun = {"scope": "only_failed"}
    plan = await preview(stack, {"kind": "oozie_workflows", "ids": ids, "rerun": rerun})
    assert [item["expected"]["skip_nodes"] for item in await items(stack, plan)] == [["prepare"]] * 3
    ended = await apply(stack, plan)
    assert (ended["state"], ended["counts"]["failed"]) == ("COMPLETED_WITH_ERRORS", 2)
    world.touch("m1/source/file")
    world.touch("m2/source/file")
    child = await stack.ask("POST", f"/plans/{plan['id']}/retry", {})
    assert (await plan_in(stack, child["id"], ENDS))["state"] == "SUCCEEDED"
    assert [(await world.hands.info(id))["run"] for id in ids] == [1, 2, 2]


async def test_reruns_are_held_limited_and_forecast_while_they_run_and_a_cancel_kills_or_lets_them_end(
    world: World, stack: FullStack
) -> None:
    holds = [world.folder / f"h{number}.hold" for number in range(6)]
    for hold in holds:
        hold.write_text("FAIL")
    ids = [await world.failed_workflow("wf-hold", f"h{number}") for number in range(6)]
    for hold in holds:
        hold.unlink()  # a rerun now runs until its file is there

    async def started(count: int) -> list[int]:
        """Which of them were rerun, once so many were."""
        infos = await until(
            lambda: gather(*map(world.hands.info, ids)), lambda all: sum(one["run"] for one in all) == count
        )
        return [number for number, one in enumerate(infos) if one["run"]]

    selection = {"kind": "oozie_workflows", "ids": ids, "rerun": {"scope": "only_failed"}}
    plan = await preview(stack, selection, rules={"limit": 1})
    place = f"/plans/{plan['id']}"
    await stack.ask("POST", f"{place}/apply", {"preview_hash": plan["preview_hash"]})
    (first,) = await started(1)
    forecast = await stack.ask("GET", f"{place}/forecast")
    assert (forecast["items_left"], forecast["forecast"]["bound_by"]) == (6, "limit")
    await stack.ask("PUT", f"{place}/rules", {"rules": {"limit": 2}})
    running = await started(2)
    await stack.ask("POST", f"{place}/pause", {"reason": "look first"})
    await plan_in(stack, plan["id"], {"PAUSED"})
    holds[first].write_text("OK")
    await world.hands.until(ids[first], {"SUCCEEDED"})
    assert await started(2) == running, "nothing begins while it is paused"
    await stack.ask("POST", f"{place}/resume", {})
    running = await started(3)
    second, third = (number for number in running if number != first)
    await stack.ask("POST", f"{place}/cancel", {"reason": "enough", "kill": False})
    holds[second].write_text("OK")
    await world.hands.until(ids[second], {"SUCCEEDED"})
    assert (await stack.ask("GET", place))["state"] == "CANCELLING", "the other one may end by itself"
    await stack.ask("POST", f"{place}/cancel", {"reason": "now", "kill": True})
    ended = await plan_in(stack, plan["id"], ENDS)
    assert ended["state"] == "CANCELLED"
    assert (ended["counts"]["succeeded"], ended["counts"]["cancelled"]) == (2, 4)
    assert (await world.hands.info(ids[third]))["status"] == "KILLED"
    assert len(await started(3)) == 3


async def test_what_is_wrong_is_named_and_changes_nothing(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 2, {1, 2})
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"kind": "oozie_workflows", "ids": [coordinator]}, "it is a coordinator, and a workflow is meant"),
        ({**actions(coordinator), "dates": [["2031-01-01T00:00:00Z", "2031-01-02T00:00:00Z"]]}, "lie outside of"),
        ({"kind": "oozie_workflows", "name": "nobody-has-this-name"}, "finds nothing"),
    ]
    for selection, words in wrong:
        refused = await preview(stack, selection)
        assert refused["state"] == "REFUSED"
        assert words in refused["reason"]
    body = {"selections": [{"engine": "ooz", "selection": actions(coordinator, properties={"gate": ""})}]}
    assert (await stack.answer("POST", "/plans", body)).status == 422
    plan = await preview(stack, actions(coordinator))
    other = await preview(stack, {**actions(coordinator), "numbers": [[1, 1]]})
    hash_of_other = {"preview_hash": other["preview_hash"]}
    assert (await stack.answer("POST", f"/plans/{plan['id']}/apply", hash_of_other)).status == 422
    await stack.planners.rows(
        """UPDATE plan SET spec = jsonb_set(spec::jsonb, '{preview,expires_at}', '"2020-01-01T00:00:00Z"')::text
           WHERE id = $1""",
        UUID(plan["id"]),
    )
    expired = await apply(stack, plan)
    assert expired["state"] == "REFUSED"
    assert "expired" in expired["reason"]
    runs = await world.hands.call("GET", f"/v2/job/{coordinator}@1", show="allruns")
    assert len(runs["workflows"]) == 1


async def test_the_command_line_previews_and_applies(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 2, {2})
    world.open_gate(2)

    async def run(*words: str) -> subprocess.CompletedProcess[str]:
        return await command_line(stack, world.folder, "rerun", *words)

    previewed = await run("--engine", "ooz", "--coordinator", coordinator, "--preview", "-o", "jsonl")
    assert previewed.returncode == 0, previewed.stderr
    decisions = [json.loads(line)["decision"] for line in previewed.stdout.splitlines()]
    assert sorted(decisions) == ["run", "skip"]
    words = next(line for line in previewed.stderr.splitlines() if line.startswith("signalbox oozie rerun")).split()
    applied = await run(*words[3:], "--wait", "-o", "json")
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["state"] == "SUCCEEDED"
    again = await run(*words[3:-1], uuid4().hex * 2)
    assert again.returncode != 0


async def test_the_command_line_controls_and_shows_any_job(world: World, stack: FullStack) -> None:
    """Wrong ids, states and servers are named, and nothing is changed by them."""
    job = await world.workflow("wf-hold")
    await world.hands.until(job, {"RUNNING"})

    async def run(*words: str) -> subprocess.CompletedProcess[str]:
        return await command_line(stack, world.folder, *words, "--engine", "ooz")

    for verb, state in (("suspend", "SUSPENDED"), ("resume", "RUNNING")):
        done = await run(verb, job, "-o", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["details"]["state"] == (await world.hands.info(job))["status"] == state
    wrong = {
        ("suspend", "0000099-261122004647470-oozie-sbx-W"): "does not know it",
        ("change", job, "--concurrency", "2"): "only a coordinator has it",
        ("kill", "nonsense", "--yes"): "is no Oozie id",
        ("kill", job, "--action", "3", "--yes"): "only allowed with 'kill' and 'ignore' of a coordinator",
        ("change", job.replace("-W", "-C"), "--end", "tomorrow"): "end_at",
        ("show", job, "--document", "secrets"): "document",
    }
    for words, reason in wrong.items():
        refused = await run(*words)
        assert refused.returncode != 0
        assert reason in refused.stderr.replace("\n", " "), refused.stderr
    shown = await run("show", job, "--document", "definition")
    assert "<workflow-app" in shown.stdout
    assert f"-definition {job}" in shown.stderr
    assert (await world.hands.info(job))["status"] == "RUNNING"
    killed = await run("kill", job, "--yes")
    assert killed.returncode == 0, killed.stderr
    assert (await world.hands.info(job))["status"] == "KILLED"
