"""Retention: old tasks go in small batches, beside claims that never wait for them; what runs stays."""

import time
from collections import Counter
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from signalbox_chassis.blobs import Blobs
from signalbox_contracts.definitions.rules import Rules
from signalbox_executor.retention import executor_retention
from signalbox_executor.store import claim, retention
from support.executor import Store
from support.proofs import proves

OLD_PLANS, TASKS_EACH = 10, 10_000
LONG_AGO = "now() - interval '100 days'"


async def _old_plans(store: Store, plans: int, tasks: int) -> list[UUID]:
    """Closed plans whose tasks ended long ago, one attempt each."""
    model = await store.plan(1)
    ids = [uuid4() for _ in range(plans)]
    async with store.connection() as connection:
        await connection.execute(
            "INSERT INTO task (id, plan_id, item_key, position, engine_id, spec, definitions_revision, max_attempts,"  # noqa: S608
            " infrastructure_attempts, priority, state, ended_at) SELECT gen_random_uuid(), p, 'item/' || n, n,"
            f" engine_id, '{{}}', 1, 1, 10, 50, 'SUCCEEDED', {LONG_AGO}"
            " FROM task, unnest($2::uuid[]) AS p, generate_series(1, $3::int) AS n WHERE plan_id = $1",
            model, ids, tasks,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO attempt (task_id, attempt, cause) SELECT id, 1, 'succeeded' FROM task WHERE plan_id = ANY($1)",
            ids,
        )
    for plan in ids:
        await store.rules(plan, Rules(), closed=True)
    await store.rows(f"UPDATE plan_rules SET changed_at = {LONG_AGO} WHERE plan_id = ANY($1)", ids)  # noqa: S608
    return ids


@pytest.mark.slow
async def test_a_hundred_thousand_old_tasks_go_while_claims_go_on(store: Store) -> None:
    await store.engine(concurrency=10_000)
    await _old_plans(store, OLD_PLANS, TASKS_EACH)
    await store.plan(2000)
    me, deleted, claims, longest = await store.worker(), 0, 0, 0.0
    async with store.connection() as pruning, store.connection() as claiming:
        assert (await retention.count(pruning, 90))["tasks"] == OLD_PLANS * TASKS_EACH
        while True:
            # the batch is not committed yet: a claim that needed a row of it would run into its lock limit
            batch = pruning.transaction()
            await batch.start()
            counts = await retention.prune(pruning, 90, 2500)
            began = time.monotonic()
            async with claiming.transaction():
                await claiming.execute("SET LOCAL lock_timeout = '100ms'")
                claims += len(await claim.claim(claiming, me, group="default", reachable=["e1"], limit=20))
            longest = max(longest, time.monotonic() - began)
            await batch.commit()
            if not any(counts.values()):
                break
            assert counts["tasks"] <= 2500
            deleted += counts["tasks"]
    print(f"{deleted} tasks deleted, {claims} claimed meanwhile, the longest claim took {longest:.3f} s")
    assert deleted == OLD_PLANS * TASKS_EACH
    assert claims >= 400
    left = await store.rows("SELECT (SELECT count(*) FROM attempt) AS a, (SELECT count(*) FROM plan_rules) AS r")
    assert (left[0]["a"], left[0]["r"]) == (0, 2)


@proves("executor.store.retention: retention deletes nothing")
async def test_retention_deletes_nothing_of_plans_that_may_still_run_and_logs_with_their_tasks(
    store: Store, tmp_path: Path
) -> None:
    """INVARIANT: retention touches nothing that runs. Without it a task in an old plan would lose its row."""
    await store.engine()
    gone, running, queued, unpublished, just_closed = await _old_plans(store, 5, 2)
    await store.rules(just_closed, Rules(), version=2, closed=True)
    await store.rows("UPDATE task SET state = 'UNKNOWN' WHERE plan_id = $1 AND position = 1", running)
    await store.rows("UPDATE task SET state = 'QUEUED' WHERE plan_id = $1 AND position = 1", queued)
    await store.rows("UPDATE task SET published = false WHERE plan_id = $1 AND position = 1", unpublished)
    blobs = Blobs(f"file://{tmp_path}")
    rows = await store.rows("SELECT id, plan_id FROM task")
    for row in rows:
        await blobs.write(f"logs/{row['id']}/1/0.gz", b"log")
    kept = executor_retention(blobs)
    async with store.connection() as connection:
        assert not any((await kept.prune(connection, 365, 100)).values()), "younger than the retention"
        assert await kept.count(connection, 90) == {"plans": 2, "tasks": 4, "attempts": 4}
        while any((await kept.prune(connection, 90, 1)).values()):
            pass
    found = await store.rows("SELECT id, plan_id FROM task")
    left = Counter(row["plan_id"] for row in found)
    # of the plan with a fact to publish only that task is left
    assert (left[gone], left[running], left[queued], left[unpublished], left[just_closed]) == (0, 2, 2, 1, 2)
    logs = {blob.key.split("/")[1] for blob in await blobs.list("logs")}
    assert logs == {str(row["id"]) for row in found}
    assert not [folder for folder in (tmp_path / "logs").iterdir() if folder.name not in logs], "empty folders"
