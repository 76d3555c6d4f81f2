"""The rules of plans: no task of a plan is claimed without them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.connection import Connection
from signalbox_contracts.messages.task_commands import PlanRulesData

# INVARIANT only newer rules replace older ones. The row's lock is the claim's own (FOR UPDATE): once this commits,
# no claim that saw the older rules can commit after it, so the confirmation is true.
_SAVE: Final = """
INSERT INTO plan_rules AS r (plan_id, version, held, held_reason, closed, priority, task_limit, starts_per_minute,
                             newest_first, canary_first, canary_failures, brake_ratio, brake_after)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (plan_id) DO UPDATE SET
    version = excluded.version, held = excluded.held, held_reason = excluded.held_reason, closed = excluded.closed,
    priority = excluded.priority, task_limit = excluded.task_limit, starts_per_minute = excluded.starts_per_minute,
    newest_first = excluded.newest_first, canary_first = excluded.canary_first,
    canary_failures = excluded.canary_failures, brake_ratio = excluded.brake_ratio, brake_after = excluded.brake_after
WHERE r.version < excluded.version
"""


async def save_rules(connection: Connection, data: PlanRulesData) -> None:
    """Keep the rules if they are newer than what is here."""
    rules, canary, brake = data.rules, data.rules.canary, data.rules.brake
    await connection.execute(
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
        canary.most_failures if canary else None,
        brake.failure_ratio if brake else None,
        brake.after_items if brake else None,
    )


async def versions(connection: Connection, plans: Sequence[UUID]) -> dict[UUID, int]:
    """Which rules we have of these plans."""
    rows = await connection.fetch("SELECT plan_id, version FROM plan_rules WHERE plan_id = ANY($1)", list(plans))
    return {row["plan_id"]: row["version"] for row in rows}
