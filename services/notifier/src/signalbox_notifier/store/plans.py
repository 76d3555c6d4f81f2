"""What is kept of plans and tasks: which of their transitions were told, and what messages say about the plan."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

from pydantic_core import from_json, to_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_notifier.notices import PlanSummary

_SAVE = """
INSERT INTO plan AS p (id, version, summary, ended)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::boolean[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version, summary = excluded.summary, ended = excluded.ended,
    seen_at = now()
WHERE p.version < excluded.version
"""
_SAVE_TASKS = """
INSERT INTO task_version AS t (id, plan_id, version) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[])
ON CONFLICT (id) DO UPDATE SET version = excluded.version WHERE t.version < excluded.version
"""
_ADD_DEADLINE = """
INSERT INTO deadline (plan_id, subscription_id, rule, due_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
# A subscription that exists and cannot be read keeps its deadlines.
_DUE = """
DELETE FROM deadline WHERE (plan_id, subscription_id, rule) IN (
    SELECT plan_id, subscription_id, rule FROM deadline l
    WHERE due_at <= now() AND (subscription_id = ANY($2) OR NOT EXISTS (
        SELECT FROM definition d WHERE d.kind = 'subscription' AND d.id = l.subscription_id AND NOT d.deleted))
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING plan_id, subscription_id, rule, due_at
"""


async def lock(connection: Connection, ids: Sequence[UUID]) -> Mapping[UUID, tuple[int, PlanSummary]]:
    """The plans that are known, locked in id order: the version that was told, and the summary."""
    rows = await connection.fetch(
        "SELECT id, version, summary FROM plan WHERE id = ANY($1) ORDER BY id FOR UPDATE", sorted(set(ids))
    )
    return {row["id"]: (row["version"], _summary(row["id"], row["summary"])) for row in rows}


async def save(connection: Connection, plans: Sequence[tuple[PlanSummary, int, bool]]) -> None:
    """Keep the summary and version of these plans, and whether they have ended."""
    texts = [
        to_json(
            {
                "name": one.name, "project": one.project, "target": one.target, "labels": dict(one.labels),
                "actor": one.actor,
                "event_date": one.event_date,
            }
        ).decode()
        for one, _, _ in plans
    ]  # fmt: skip
    await connection.execute(
        _SAVE, [one.plan_id for one, _, _ in plans], [version for _, version, _ in plans], texts,
        [ended for _, _, ended in plans],
    )  # fmt: skip


async def task_versions(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The version of each task that was told, locked in id order."""
    rows = await connection.fetch(
        "SELECT id, version FROM task_version WHERE id = ANY($1) ORDER BY id FOR UPDATE", sorted(set(ids))
    )
    return {row["id"]: row["version"] for row in rows}


async def save_tasks(connection: Connection, tasks: Sequence[tuple[UUID, UUID, int]]) -> None:
    """Keep which version of these tasks (id, plan id, version) was told."""
    newest = {id: (plan, version) for id, plan, version in sorted(tasks, key=lambda one: one[2])}
    ids = sorted(newest)
    await connection.execute(_SAVE_TASKS, ids, [newest[id][0] for id in ids], [newest[id][1] for id in ids])


async def keep_errors(connection: Connection, errors: Mapping[UUID, str]) -> None:
    """Keep why the first task of each of these plans failed."""
    ids = sorted(errors)
    await connection.execute(
        "UPDATE plan p SET error = left(n.error, 2000) FROM unnest($1::uuid[], $2::text[]) AS n (id, error)"
        " WHERE p.id = n.id AND p.error = ''",
        ids, [errors[id] for id in ids],
    )  # fmt: skip


async def errors(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Why the first task of these plans failed, where one did."""
    rows = await connection.fetch("SELECT id, error FROM plan WHERE id = ANY($1) AND error <> ''", list(ids))
    return {row["id"]: row["error"] for row in rows}


async def add_deadline(
    connection: Connection, plan_id: UUID, subscription_id: str, rule: str, due_at: datetime
) -> None:
    """Remember when a plan has to have started or ended."""
    await connection.execute(_ADD_DEADLINE, plan_id, subscription_id, rule, due_at)


async def drop_deadlines(connection: Connection, plan_ids: Sequence[UUID], *, started_only: bool) -> None:
    """The plans have ended; with `started_only` they have started."""
    rule = "start_by" if started_only else "%"
    await connection.execute("DELETE FROM deadline WHERE plan_id = ANY($1) AND rule LIKE $2", list(plan_ids), rule)


async def take_due_deadlines(
    connection: Connection, known: Sequence[str], limit: int = 100
) -> list[tuple[UUID, str, str, datetime]]:
    """Deadlines that have passed, each once: of `known` subscriptions, which can be read, and of deleted ones."""
    rows = await connection.fetch(_DUE, limit, list(known))
    return [(row["plan_id"], row["subscription_id"], row["rule"], row["due_at"]) for row in rows]


async def prune(connection: Connection, keep_days: int, limit: int = 5000) -> int:
    """Forget ended plans that nothing was read of for so long, with their tasks; how many plans."""
    rows = await connection.fetch(
        "DELETE FROM plan WHERE ctid = ANY(ARRAY(SELECT ctid FROM plan"
        " WHERE seen_at < now() - make_interval(days => $1) AND ended ORDER BY seen_at LIMIT $2)) RETURNING id",
        keep_days, limit,
    )  # fmt: skip
    ids = [row["id"] for row in rows]
    await connection.execute("DELETE FROM task_version WHERE plan_id = ANY($1)", ids)
    await connection.execute("DELETE FROM task_step WHERE plan_id = ANY($1)", ids)
    return len(rows)


def _summary(plan_id: UUID, text: str) -> PlanSummary:
    kept = from_json(text)
    day = date.fromisoformat(kept["event_date"]) if kept["event_date"] else None
    return PlanSummary(
        plan_id, kept["name"], kept["project"], kept["target"], kept["labels"], day, kept.get("actor", "")
    )
