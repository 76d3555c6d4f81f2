"""Which live plans use something."""

from typing import Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.states import PLAN_ENDS

MAX_PLANS: Final = 20
_ENDED: Final = ", ".join(f"'{state.value}'" for state in sorted(PLAN_ENDS))
_ON_ENGINE: Final = f"""
SELECT 'plan:' || p.id AS name FROM plan p
WHERE p.state NOT IN ({_ENDED}) AND EXISTS (SELECT FROM task t WHERE t.plan_id = p.id AND t.engine = $1)
ORDER BY p.created_at LIMIT {MAX_PLANS}
"""  # noqa: S608
_OF_TARGET: Final = f"""
SELECT id FROM plan WHERE target = $1 AND state NOT IN ({_ENDED}) ORDER BY created_at LIMIT $2
"""  # noqa: S608


async def live_plans_on_engine(connection: Connection, id: str) -> list[str]:
    """Plans that have not ended and have a task on this engine, as `plan:<id>`; 20 at most."""
    return [row["name"] for row in await connection.fetch(_ON_ENGINE, id)]


async def live_plans_of(connection: Connection, target: str, *, limit: int) -> list[str]:
    """Ids of the plans of `job:<id>` or `pipeline:<id>` that have not ended, oldest first."""
    return [str(row["id"]) for row in await connection.fetch(_OF_TARGET, target, limit)]
