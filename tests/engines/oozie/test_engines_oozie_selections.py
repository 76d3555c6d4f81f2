"""Selections on a real Oozie: what is there is found, page by page, and what is wrong is named."""

from datetime import UTC, datetime

import pytest

from engines.oozie.world import World, find
from signalbox_contracts.definitions.selection import OozieActions, OozieWorkflows, RerunRules, Selection
from signalbox_executor.engines.oozie import selections
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.port import EngineRefused

pytestmark = pytest.mark.engine
DONE = {"SUCCEEDED", "KILLED", "DONEWITHERROR"}


async def test_workflows_are_found_by_filter_and_by_id(
    world: World, engine: OozieEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selections, "PAGE_ITEMS", 2)
    failed = [await world.failed_workflow("wf-move", name) for name in ("one", "two", "three")]
    by_name = await find(engine, OozieWorkflows(text="move-", phases=("failed",), user="alice"))
    assert set(failed) <= set(by_name)
    item = by_name[failed[0]]
    assert (item.engine_state, item.run, item.details["name"]) == ("KILLED", 0, "move-one")  # type: ignore[index]
    rules = RerunRules(scope="skip_successful")
    chosen = await find(engine, OozieWorkflows(ids=(failed[0],), rerun=rules))
    assert chosen[failed[0]].skip_nodes == ("prepare",)
    long_ago = OozieWorkflows(until_at=datetime(2020, 1, 1, tzinfo=UTC), user="alice")
    assert await find(engine, long_ago) == {}


async def test_actions_are_found_by_number_date_and_bundle(
    world: World, engine: OozieEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selections, "PAGE_ITEMS", 2)
    world.open_gate(2)
    coordinator = await world.coordinator(days=5)
    await world.hands.until(coordinator, DONE)
    states = {item.engine_state for item in (await find(engine, OozieActions(coordinators=(coordinator,)))).values()}
    assert states == {"SUCCEEDED", "KILLED"}
    numbered = await find(engine, OozieActions(coordinators=(coordinator,), numbers=((2, 3), (5, 7))))
    assert {key.partition("@")[2] for key in numbered} == {"2", "3", "5", "6", "7"}
    assert numbered[f"{coordinator}@7"].details["missing"] is True  # type: ignore[index]
    window = (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))
    dated = await find(engine, OozieActions(coordinators=(coordinator,), dates=(window,)))
    assert list(dated) == [f"{coordinator}@{number}" for number in (2, 3, 4)]
    assert dated[f"{coordinator}@3"].last_modified
    in_place = OozieActions(coordinators=(coordinator,), numbers=((3, 3),), rerun=RerunRules(scope="only_failed"))
    action = (await find(engine, in_place))[f"{coordinator}@3"]
    assert action.target.endswith("-W")
    assert (action.run, action.skip_nodes) == (0, ("prepare",))


async def test_a_bundle_is_its_coordinators_over_a_window(world: World, engine: OozieEngine) -> None:
    application = f"{world.fixtures}/bundle"
    properties = {**world.properties("bundle"), "oozie.bundle.application.path": application}
    bundle = (await world.hands.call("POST", "/v2/jobs", properties, action="start"))["id"]
    await world.hands.until(bundle, DONE)
    window = (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC))
    found = await find(engine, OozieActions(bundles=(bundle,), dates=(window,)))
    assert len(found) == 4
    assert {item.details["name"] for item in found.values()} == {"north", "south"}  # type: ignore[index]


async def test_what_is_wrong_with_a_selection_is_named(world: World, engine: OozieEngine) -> None:
    coordinator = await world.coordinator(days=1)
    await world.hands.until(coordinator, DONE)
    next_year = (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC))
    bad: list[tuple[Selection, str, str]] = [
        (OozieWorkflows(ids=(coordinator,)), "selection.ids", "it is a coordinator, and a workflow is meant"),
        (OozieWorkflows(ids=("0000099-261122004647470-oozie-sbx-W",)), "selection.ids", "does not know it"),
        (OozieWorkflows(phases=("broken",)), "selection.phases", "allowed are failed"),
        (OozieActions(coordinators=(coordinator,), dates=(next_year,)), "selection.dates", "lie outside of"),
        (OozieActions(bundles=(coordinator,)), "selection.bundles", "a bundle is meant"),
    ]
    for selection, field, words in bad:
        with pytest.raises(EngineRefused, match=words) as refused:
            await find(engine, selection)
        assert refused.value.field == field


async def test_a_clean_up_lists_every_directory_it_would_delete(world: World, engine: OozieEngine) -> None:
    """Oozie itself resolves them, in a dry run that starts nothing."""
    for day in (1, 2):
        world.touch(f"raws/2026-01-0{day}/_READY")
    coordinator = await world.coordinator("coord-data", days=2)
    await world.hands.until(coordinator, DONE)
    out = world.folder / "outs/2026-01-02"
    out.mkdir(parents=True, exist_ok=True)
    (out / "part-0").write_text("12345")
    before = (await world.hands.call("GET", "/v2/jobs", jobtype="coordinator", len="1"))["total"]
    rules = RerunRules(clean_up=True, policy="all")
    found = await find(engine, OozieActions(coordinators=(coordinator,), rerun=rules))
    (listed,) = found[f"{coordinator}@2"].deletes
    uri, _, content = listed.partition(": ")
    assert uri == world.path("outs/2026-01-02")
    assert content.startswith("1 files, 5 bytes, the newest is part-0 of 20")
    assert (out / "part-0").read_text() == "12345"
    assert (await world.hands.call("GET", "/v2/jobs", jobtype="coordinator", len="1"))["total"] == before
    kept = await find(engine, OozieActions(coordinators=(coordinator,)))
    assert kept[f"{coordinator}@2"].deletes == ()
    without = await world.coordinator(days=1)
    await world.hands.until(without, DONE)
    (item,) = (await find(engine, OozieActions(coordinators=(without,), rerun=rules))).values()
    assert item.deletes == ("nothing: the coordinator has no output events",)
