"""Short look-ups of the read model: live plans that use something, whether a plan exists, services of messages."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.states import PLAN_ENDS

MAX_PLANS: Final = 20
_ENDED: Final = state_list(PLAN_ENDS)
_ON_ENGINE: Final = f"""
SELECT 'plan:' || p.id AS name FROM plan p
WHERE p.state NOT IN {_ENDED} AND EXISTS (SELECT FROM task t WHERE t.plan_id = p.id AND t.engine = $1)
ORDER BY p.created_at LIMIT {MAX_PLANS}
"""  # noqa: S608
_OF_TARGET: Final = f"""
SELECT id FROM plan WHERE target = $1 AND state NOT IN {_ENDED} ORDER BY created_at LIMIT $2
"""  # noqa: S608


async def live_plans_on_engine(connection: Connection, id: str) -> list[str]:
    """Plans that have not ended and have a task on this engine, as `plan:<id>`; 20 at most."""
    return [row["name"] for row in await connection.fetch(_ON_ENGINE, id)]


async def live_plans_of(connection: Connection, target: str, *, limit: int) -> list[str]:
    """Ids of the plans of `job:<id>` or `pipeline:<id>` that have not ended, oldest first."""
    return [str(row["id"]) for row in await connection.fetch(_OF_TARGET, target, limit)]


async def plan_exists(connection: Connection, id: UUID) -> bool:
    """Whether a plan has this id."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM plan WHERE id = $1)", id)


async def plan_record(connection: Connection, id: UUID) -> PlanRecord | None:
    """The last published state of a plan; None when there is none."""
    record = await connection.fetchval("SELECT record FROM plan WHERE id = $1", id)
    return PlanRecord.model_validate_json(record) if record is not None else None


async def services_of_letters(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Which service parked each of these messages, those that exist."""
    rows = await connection.fetch("SELECT id, service FROM parked WHERE id = ANY($1)", list(ids))
    return {row["id"]: row["service"] for row in rows}
