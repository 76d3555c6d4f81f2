"""The rules of plans: no task of a plan is claimed without them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.task_commands import PlanRulesData
from signalbox_executor.store.rows import with_states

# INVARIANT only newer rules replace older ones. The row's lock is the claim's own (FOR UPDATE): once this commits,
# no claim that saw the older rules can commit after it, so the confirmation is true. A plan is closed when all its
# tasks have ended. What has not ended here did so after the backup this database was restored from: it is submitted
# again, under the same key, to see how; or it runs, as this database has it, and may yet be tried again.
_SAVE: Final = with_states("""
INSERT INTO plan_rules AS r (plan_id, version, held, held_reason, closed, priority, task_limit, starts_per_minute,
                             newest_first, canary_first, canary_failures, brake_ratio, brake_after, project)
VALUES ($1, $2, $3, $4,
        $5 AND NOT EXISTS (SELECT FROM task t WHERE t.plan_id = $1 AND t.state = 'QUEUED') AND NOT EXISTS (
          SELECT FROM task t WHERE t.plan_id = $1 AND t.state IN {active}),
        $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (plan_id) DO UPDATE SET
    version = checked_version(r.version, excluded.version), held = excluded.held,
    held_reason = excluded.held_reason, closed = excluded.closed,
    priority = excluded.priority, task_limit = excluded.task_limit, starts_per_minute = excluded.starts_per_minute,
    newest_first = excluded.newest_first, canary_first = excluded.canary_first,
    canary_failures = excluded.canary_failures, brake_ratio = excluded.brake_ratio, brake_after = excluded.brake_after,
    changed_at = now(), project = excluded.project
WHERE r.version < excluded.version
RETURNING version
""")


async def save_rules(connection: Connection, data: PlanRulesData) -> int:
    """Keep the rules if they are newer than what is here; the version of those that are here now."""
    rules, canary, brake = data.rules, data.rules.canary, data.rules.brake
    kept: int | None = await connection.fetchval(
        _SAVE,
        data.plan_id,
        data.version,
        data.held,
        data.held_reason,
        data.closed,
        rules.priority,
        rules.limit,
        rules.starts_per_minute,
        rules.order == "newest_first",
        canary.first if canary else None,
        canary.max_failures if canary else None,
        brake.failure_ratio if brake else None,
        brake.after_items if brake else None,
        data.project,
    )
    return kept if kept is not None else (await versions(connection, [data.plan_id]))[data.plan_id]


async def versions(connection: Connection, plans: Sequence[UUID]) -> dict[UUID, int]:
    """Which rules we have of these plans."""
    rows = await connection.fetch("SELECT plan_id, version FROM plan_rules WHERE plan_id = ANY($1)", list(plans))
    return {row["plan_id"]: row["version"] for row in rows}
