"""How much of everything there is, and how old the oldest unpublished message is."""

from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_gateway.read_model import freezes, queries, services

_OUTBOX: Final = (
    "SELECT COALESCE(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE sent_at IS NULL"
)
_PLANS: Final = "SELECT state, count(*)::int AS n FROM plan GROUP BY 1 ORDER BY 1"
_TASKS: Final = "SELECT state, count(*)::int AS n FROM task WHERE state IS NOT NULL GROUP BY 1 ORDER BY 1"
_PARKED: Final = "SELECT count(*)::int FROM parked WHERE state NOT IN ('REDRIVEN', 'DROPPED')"


async def oldest_unsent_seconds(connection: Connection) -> float:
    """Age of the oldest message in the outbox that was not published yet; 0 for none."""
    return await connection.fetchval(_OUTBOX)


async def counts(connection: Connection) -> dict[str, Any]:
    """Engines with their states, plans and tasks by state, parked messages, freezes that hold, troubles."""
    return {
        "engines": list((await queries.engine_states(connection)).values()),
        "plans": await _by_state(connection, _PLANS),
        "tasks": await _by_state(connection, _TASKS),
        "parked": await connection.fetchval(_PARKED),
        "freezes": await freezes.banners(connection),
        **await services.health(connection),
    }


async def _by_state(connection: Connection, query: str) -> dict[str, int]:
    return {row["state"]: row["n"] for row in await connection.fetch(query)}
