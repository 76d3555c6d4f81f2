"""Bad input through the API and the command line, on a real Oozie: the problem names the item, nothing is changed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engines.oozie.assembly import SERVER_FILES
from engines.oozie.product import ENDS, actions, command_line, gated_coordinator, items, plan_in, preview
from engines.oozie.world import FIXTURES, World, until
from support.full_stack import FullStack

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@asynccontextmanager
async def unchanged(world: World, *jobs: str) -> AsyncGenerator[None]:
    """These jobs are the same afterwards, to the run number and the last change, and no new one of Oozie's is there."""

    async def seen() -> Any:
        totals = [
            (await world.hands.call("GET", "/v2/jobs", jobtype=kind, len="1"))["total"]
            for kind in ("wf", "coordinator", "bundle")
        ]
        infos = [await world.hands.info(job) for job in jobs]
        kept = ("status", "run", "lastModTime")
        return totals, [[{name: one.get(name) for name in kept} for one in (info, *info["actions"])] for info in infos]

    before = await seen()
    yield
    assert await seen() == before


async def refused_by_command(stack: FullStack, world: World, *words: str, reason: str) -> None:
    done = await command_line(stack, world.folder, *words)
    assert done.returncode != 0, done.stdout
    assert reason in " ".join((done.stdout + done.stderr).split()), done.stdout + done.stderr


async def test_what_is_wrong_with_a_selection_is_named(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 2, {1, 2})
    outside = [["2031-01-01T00:00:00Z", "2031-01-02T00:00:00Z"]]
    wrong: list[tuple[dict[str, Any], list[str], str]] = [
        (
            {"kind": "oozie_workflows", "ids": [coordinator]},
            ["--workflow", coordinator],
            f"{coordinator}: it is a coordinator, and a workflow is meant",
        ),
        (
            {**actions(coordinator), "dates": outside},
            ["--coordinator", coordinator, "--from", outside[0][0], "--until", outside[0][1]],
            f"2031-01-01T00:00Z to 2031-01-02T00:00Z: lie outside of {coordinator}",
        ),
        ({"kind": "oozie_workflows", "name": "nobody"}, ["--name", "nobody"], "finds nothing"),
    ]
    async with unchanged(world, coordinator):
        for selection, words, reason in wrong:
            refused = await preview(stack, selection)
            assert (refused["state"], reason in refused["reason"]) == ("REFUSED", True), refused["reason"]
            await refused_by_command(stack, world, "rerun", "--engine", "ooz", *words, "--preview", reason=reason)


async def test_an_override_that_would_unset_a_property_is_refused_by_name(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 1, {1})
    async with unchanged(world, coordinator):
        body = {"selections": [{"engine": "ooz", "selection": actions(coordinator, properties={"gate": ""})}]}
        answer = await stack.answer("POST", "/plans", body)
        assert (answer.status, "gate: an empty value is not allowed" in answer.text) == (422, True), answer.text
        await refused_by_command(
            stack, world, "rerun", "--engine", "ooz", "--coordinator", coordinator, "-D", "gate=", "--preview",
            reason="gate: an empty value is not allowed",
        )  # fmt: skip


async def test_an_action_that_runs_is_blocked_before_anything_is_sent(world: World, stack: FullStack) -> None:
    coordinator = await world.coordinator(days=1, wfPath=f"{FIXTURES}/wf-hold")
    running = await world.action(f"{coordinator}@1", "RUNNING")
    workflow = running["externalId"]
    await world.hands.until(workflow, {"RUNNING"})
    async with unchanged(world, coordinator):
        plan = await preview(stack, actions(coordinator, policy="all"))
        (item,) = await items(stack, plan)
        assert (item["key"], item["decision"]) == (f"{coordinator}@1", "blocked")
        assert "RUNNING" in item["reason"]
        for kind, target in (("coordinator", f"{coordinator}@1"), ("workflow", workflow)):
            work = {"kind": "oozie", "mode": "rerun", "object": kind, "target": target}
            listed = [{"key": "one", "engine": "ooz", "work": work}]
            made = await stack.ask("POST", "/plans", {"name": "now", "items": listed})
            await plan_in(stack, made["id"], ENDS)
            (task,) = (await stack.ask("GET", f"/plans/{made['id']}/tasks"))["items"]
            assert task["state"] == "FAILED"
            assert f"{target}: it is RUNNING" in str(await stack.ask("GET", f"/tasks/{task['id']}"))
    await world.hands.call("PUT", f"/v2/job/{coordinator}", action="kill")


async def test_the_hash_of_another_plan_and_an_expired_preview_start_nothing(world: World, stack: FullStack) -> None:
    coordinator = await gated_coordinator(world, 2, {1, 2})
    plan = await preview(stack, actions(coordinator))
    other = await preview(stack, {**actions(coordinator), "numbers": [[1, 1]]})
    async with unchanged(world, coordinator):
        answer = await stack.answer("POST", f"/plans/{plan['id']}/apply", {"preview_hash": other["preview_hash"]})
        assert (answer.status, "preview_hash" in answer.text) == (422, True), answer.text
        words = ("rerun", "--plan", plan["id"], "--apply", other["preview_hash"])
        await refused_by_command(stack, world, *words, reason="preview_hash")
        await stack.planners.rows(
            """UPDATE plan SET spec = jsonb_set(spec::jsonb, '{preview,expires_at}', '"2020-01-01T00:00:00Z"')::text
               WHERE id = $1""",
            UUID(plan["id"]),
        )
        words = ("rerun", "--plan", plan["id"], "--apply", plan["preview_hash"])
        await refused_by_command(stack, world, *words, reason="expired")
        assert (await stack.ask("GET", f"/plans/{plan['id']}"))["state"] == "REFUSED"


async def test_a_zone_that_is_not_known_is_named(world: World, stack: FullStack) -> None:
    """In the dates of a selection, in a control, and in a coordinator's own definition."""
    coordinator = await gated_coordinator(world, 1, {1})
    async with unchanged(world, coordinator):
        for since in ("2026-01-01T00:00:00 Mars/Base", "2026-01-01T00:00:00"):
            selection = {**actions(coordinator), "dates": [[since, "2026-01-02T00:00:00Z"]]}
            answer = await stack.answer("POST", "/plans", {"selections": [{"engine": "ooz", "selection": selection}]})
            assert answer.status == 422, answer.text
            assert "dates.0.0" in answer.text
            words = ("--coordinator", coordinator, "--from", since, "--until", "2026-01-02T00:00:00Z", "--preview")
            await refused_by_command(stack, world, "rerun", "--engine", "ooz", *words, reason="dates.0.0")
        await refused_by_command(
            stack, world, "change", coordinator, "--end", "2026-02-01T00:00:00 Mars/Base", "--engine", "ooz",
            reason="end_at",
        )  # fmt: skip
        name, place = in_zone(world.folder, "Mars/Base")
        properties = {**world.properties("coord-gate"), "coordPath": place}
        work = {"kind": "oozie", "object": "coordinator", "application_path": place, "properties": properties}
        listed = [{"key": name, "engine": "ooz", "work": work}]
        made = await stack.ask("POST", "/plans", {"name": "mars", "items": listed})
        await plan_in(stack, made["id"], ENDS)
        (task,) = (await stack.ask("GET", f"/plans/{made['id']}/tasks"))["items"]
        shown = str(await stack.ask("GET", f"/tasks/{task['id']}"))
        assert (task["state"], "Mars/Base" in shown) == ("FAILED", True), shown


async def test_a_coordinator_in_a_zone_by_its_offset_is_selected_by_date(world: World, stack: FullStack) -> None:
    """Oozie takes `GMT+05:30`; what it has not made yet is computed in that zone."""
    _, place = in_zone(world.folder, "GMT+05:30")
    endless = {"wfPath": f"{FIXTURES}/wf-hold", "end": "2026-12-01T00:00Z", "concurrency": "1"}
    properties = {**world.properties("coord-gate"), **endless, "oozie.coord.application.path": place}
    coordinator = (await world.hands.call("POST", "/v2/jobs", properties))["id"]
    await until(lambda: world.hands.info(coordinator), lambda info: info["total"] > 0)
    dates = [["2026-10-02T00:00:00Z", "2026-10-03T00:00:00Z"]]
    plan = await preview(stack, {**actions(coordinator, policy="missing"), "dates": dates})
    keys = [item["key"].partition("@")[2] for item in await items(stack, plan)]
    assert keys == ["275", "276"], plan["reason"]
    await world.hands.call("PUT", f"/v2/job/{coordinator}", action="kill")


def in_zone(folder: Path, zone: str) -> tuple[str, str]:
    """A coordinator like `coord-gate` in another time zone: its name, and where it is."""
    text = (SERVER_FILES / "fixtures/coord-gate/coordinator.xml").read_text()
    place = folder / "zoned"
    place.mkdir()
    (place / "coordinator.xml").write_text(text.replace('timezone="UTC"', f'timezone="{zone}"'))
    return "zoned", place.as_uri()
