"""Retention of plans: rows of an ended plan go in batches, never a part of a plan that can still be seen."""

import json
from uuid import UUID, uuid4

from signalbox_planner.store import retention
from support.planner import Planners


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
