"""Rows of the planner: retention in batches, selections by round, objects that one live plan occupies."""

import json
from uuid import UUID, uuid4

import pytest

from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.messages.tasks import SelectionResolvedData
from signalbox_planner.store import definitions, events, plans, previews, retention, starts
from support.planner import Planners
from support.proofs import proves


async def _plan(planners: Planners, state: str, items: int, *, days: int = 100) -> UUID:
    plan = uuid4()
    await planners.rows(
        "INSERT INTO plan (id, spec, definitions_revision, state, version, counts, created_at, pages, rules,"
        " rules_version, ended_at) VALUES ($1, '{}', 1, $2, 9, $3, now(), 1, '{}', 1,"
        " CASE WHEN $2 <> 'RUNNING' THEN now() - make_interval(days => $4) END)",
        plan, state, json.dumps({}), days,
    )  # fmt: skip
    await planners.rows(
        "INSERT INTO item (plan_id, position, key, engine, work) SELECT $1, n, 'item/' || n, 'e1', '{}'"
        " FROM generate_series(1, $2::int) AS n",
        plan, items,
    )  # fmt: skip
    await planners.rows("INSERT INTO request_page VALUES ($1, 1)", plan)
    return plan


async def test_a_definition_that_cannot_be_read_hides_no_other(
    planners: Planners, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it one freeze that today's bounds do not allow keeps every event from starting a plan."""
    readable = Freeze.model_validate({"id": "readable", "name": "readable", "reason": "release", "author": "user:ann"})
    try:
        for id, text in (("unreadable", "{}"), (readable.id, readable.model_dump_json())):
            await planners.rows("INSERT INTO definition VALUES ('freeze', $1, 0, 1, $2, false)", id, text)
        async with planners.connection() as connection:
            assert [freeze.id for freeze in await definitions.freezes(connection)] == ["readable"]
        assert "left out of freeze definitions: unreadable: ValidationError" in caplog.text
    finally:
        await planners.rows("DELETE FROM definition WHERE kind = 'freeze'")


async def test_events_of_deleted_triggers_go_in_batches_and_those_of_one_that_cannot_be_read_stay(
    planners: Planners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a trigger that today's bounds do not allow loses its events, and a long batch stops every other."""
    monkeypatch.setattr(events, "MAX_FORGOTTEN", 4)
    for id, deleted in (("unreadable", False), ("deleted", True)):
        await planners.rows("INSERT INTO definition VALUES ('trigger', $1, 0, 1, '{}', $2)", id, deleted)
    try:
        for id in ("unreadable", "deleted", "unknown"):
            await planners.rows(
                "INSERT INTO batched_event (trigger_id, key, event) SELECT $1, '', '{}' FROM generate_series(1, 3)", id
            )
            await planners.rows("INSERT INTO held_event (trigger_id, freeze_id, event) VALUES ($1, 'f', '{}')", id)
            await planners.rows("INSERT INTO debounced_event VALUES ($1, '', '{}', now())", id)
        async with planners.connection() as connection:
            assert [await events.forget_batches(connection) for _ in range(2)] == [True, False]
            left = await connection.fetch("SELECT trigger_id FROM batched_event")
            assert [row["trigger_id"] for row in left] == ["unreadable"] * 3
            assert await events.holding(connection, []) == ["deleted", "unknown"]
            assert await events.holding(connection, ["unreadable"]) == ["deleted", "unknown", "unreadable"]
            assert sorted(await starts.due_debounced(connection, [])) == [("deleted", ""), ("unknown", "")]
    finally:
        await planners.rows("DELETE FROM definition WHERE kind = 'trigger'")
        for table in ("batched_event", "held_event", "debounced_event"):
            await planners.rows(f"DELETE FROM {table}")  # noqa: S608


@proves("planner.store.retention: retention never deletes")
async def test_old_plans_go_with_their_items_in_batches_and_others_stay(planners: Planners) -> None:
    """INVARIANT: retention deletes no plan that may change or is to be republished. Without it a part is published."""
    old = [await _plan(planners, "SUCCEEDED", 300), await _plan(planners, "FAILED", 20)]
    running, young = await _plan(planners, "RUNNING", 5), await _plan(planners, "SUCCEEDED", 5, days=10)
    wanted = await _plan(planners, "CANCELLED", 5)
    await planners.rows("INSERT INTO republish_request (plan_id, operation_id, items) VALUES ($1, $1, true)", wanted)
    try:
        async with planners.connection() as connection:
            assert await retention.count(connection, 90) == {"plans": 2, "items": 320}
            first = await retention.prune(connection, 90, 100)
            assert (first["plans"], first["items"]) == (2, 100)
            assert not await connection.fetchval("SELECT count(*) FROM plan WHERE id = ANY($1)", old), "gone at once"
            while any((await retention.prune(connection, 90, 100)).values()):
                pass
            for table in ("item", "request_page", "pruned_plan"):
                rows = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE plan_id = ANY($1)", old)  # noqa: S608
                assert rows == 0, table
            left = await connection.fetchval(
                "SELECT count(*) FROM item WHERE plan_id = ANY($1)", [running, young, wanted]
            )
            assert left == 15
    finally:
        await planners.rows("DELETE FROM republish_request WHERE plan_id = $1", wanted)
        await planners.rows("DELETE FROM plan WHERE id = ANY($1)", [running, young, wanted])


@proves("planner.store.previews: only pages of the round")
async def test_a_page_of_an_older_round_of_a_selection_changes_nothing(planners: Planners) -> None:
    """Without the id of the round in the statement, an old answer is applied to a plan that was asked for anew."""
    plan, first, second = uuid4(), uuid4(), uuid4()
    workflows = {"kind": "oozie_workflows", "ids": ["0000001-260101000000000-oozie-W"]}
    selection = previews.EngineLookUp.model_validate({"engine": "oozie-1", "selection": workflows})
    async with planners.connection() as connection:
        for round, id in enumerate((first, second), 1):
            await previews.ask(connection, plan, 1, selection, id, round)
        old, new = (SelectionResolvedData(plan_id=plan, selection_id=id, page=1, pages=1) for id in (first, second))
        assert [await previews.keep_page(connection, page) for page in (old, new)] == [False, True]
        assert [(part.round, part.found) for part in await previews.parts(connection, plan)] == [(2, 1)]


@proves("planner.store.previews: an object has one live plan")
async def test_an_object_of_a_live_plan_is_given_to_no_other_until_that_plan_ends(
    planners: Planners,
) -> None:
    """Without it two plans rerun the same workflow at once."""
    live, other = await _plan(planners, "RUNNING", 1), await _plan(planners, "RUNNING", 1)
    name, wanted = f"workflow-{live}", [("oozie-1", f"workflow-{live}")]
    async with planners.connection() as connection:
        assert await previews.occupy(connection, live, wanted) == []
        assert await previews.occupy(connection, other, wanted) == wanted, "refused with what is taken"
        assert await previews.owners(connection, "oozie-1", [name], other) == {name: live}
        await connection.execute("UPDATE plan SET state = 'SUCCEEDED', ended_at = now() WHERE id = $1", live)
        assert await previews.occupy(connection, other, wanted) == []
        await connection.execute("DELETE FROM plan WHERE id = ANY($1)", [live, other])


async def test_busy_plans_that_need_nothing_keep_no_younger_one_from_its_turn(planners: Planners) -> None:
    """The pass takes the twenty oldest. Without the size of a refill in it, a cancel waits until they have ended."""
    busy = [await _plan(planners, "RUNNING", 0) for _ in range(25)]
    await planners.rows("UPDATE plan SET ready_items = 5000, live_tasks = 950 WHERE id = ANY($1)", busy)
    due, cancelled = await _plan(planners, "RUNNING", 0), await _plan(planners, "CANCELLING", 0)
    await planners.rows("UPDATE plan SET ready_items = 5000, live_tasks = 800 WHERE id = $1", due)
    await planners.rows("UPDATE plan SET ready_items = 5000, ended_at = NULL WHERE id = $1", cancelled)
    try:
        async with planners.connection() as connection:
            found = await plans.unfinished(connection, window=1000)
        assert {due, cancelled} <= set(found)
        assert not set(found) & set(busy)
    finally:
        await planners.rows("DELETE FROM plan WHERE id = ANY($1)", [*busy, due, cancelled])


async def test_counts_of_sources_are_deleted_in_batches(planners: Planners) -> None:
    """Without a limit a month of many sources is deleted in one transaction, which holds up the planner."""
    async with planners.connection() as connection:
        await connection.execute(
            "INSERT INTO source_count (source, hour_at, received, unclaimed, last_event_at, version)"
            " SELECT 'batches', now() - make_interval(days => d), 1, 0, now(), 1 FROM unnest('{1,40,50,60}'::int[]) d"
        )
        assert [await events.prune_sources(connection, 30, limit=2) for _ in range(3)] == [2, 1, 0]
        assert await connection.fetchval("SELECT count(*) FROM source_count WHERE source = 'batches'") == 1
