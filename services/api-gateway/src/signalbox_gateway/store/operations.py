"""SQL of requested operations."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection

_SAVE: Final = """
INSERT INTO operation (id, operation, target, actor, reason, trace_id)
SELECT id, operation, target, $4, $5, $6 FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (id, operation, target)
"""


class OperationRow(NamedTuple):
    """What is requested, of what (`kind:id`)."""

    id: UUID
    operation: str
    target: str


async def save(connection: Connection, rows: Sequence[OperationRow], *, actor: str, reason: str, trace_id: str) -> None:
    """Store what was requested, of what, by whom and why."""
    await connection.execute(_SAVE, *map(list, zip(*rows, strict=True)), actor, reason, trace_id)
