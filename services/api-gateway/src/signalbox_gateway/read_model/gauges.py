"""What Prometheus shows of the read model: plans that have not ended, and engines whose breaker is open.

Every gateway exports the same numbers; a query takes the largest. No label names a plan, a task or a user.
"""

import json
from typing import Any, Final, cast

from prometheus_client import Gauge

from signalbox_chassis.persistence.database import Database

LIVE_STATES: Final = ("ACCEPTED", "RESOLVING", "PREVIEWED", "AWAITING_APPROVAL", "RUNNING", "PAUSED", "CANCELLING")
_PLANS = Gauge("signalbox_plans", "Plans that have not ended, by state", ["state"])
_UP = Gauge("signalbox_engine_up", "0 from when an engine no longer answers until it does again, else 1", ["engine"])
_COUNTED = "SELECT state, count(*) AS plans FROM plan WHERE ended_at IS NULL GROUP BY state"
_ENGINES = "SELECT id, record FROM engine_state ORDER BY id LIMIT 1000"


async def one_pass(database: Database) -> bool:
    """Set the gauges; there is never more to do at once."""
    async with database.connection() as connection:
        counted = {row["state"]: int(row["plans"]) for row in await connection.fetch(_COUNTED)}
        engines = [(row["id"], row["record"]) for row in await connection.fetch(_ENGINES)]
    for state in {*LIVE_STATES, *counted}:
        _PLANS.labels(state).set(counted.get(state, 0))
    _UP.clear()
    for engine, record in engines:
        # half open: nobody knows yet whether it answers again
        _UP.labels(engine).set(0 if _breaker(record) in ("open", "half_open") else 1)
    return False


def _breaker(record: str) -> str:
    shown: object = json.loads(record)
    return str(cast("dict[str, Any]", shown).get("breaker", "")) if isinstance(shown, dict) else ""
