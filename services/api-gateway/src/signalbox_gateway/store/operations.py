"""SQL of requested operations."""

from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

_SAVE: Final = "INSERT INTO operation (id, operation, target, actor, reason, trace_id) VALUES ($1, $2, $3, $4, $5, $6)"


async def save(
    connection: Connection, id: UUID, operation: str, *, target: str, actor: str, reason: str, trace_id: str
) -> None:
    """Store what was requested, of what, by whom and why."""
    await connection.execute(_SAVE, id, operation, target, actor, reason, trace_id)
