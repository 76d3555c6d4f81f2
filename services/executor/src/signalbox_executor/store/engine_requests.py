"""Operations that an engine carries out: kept until a worker that reaches the engine has answered them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.messages.operations import (
    ArtifactCheck,
    DagPause,
    OozieControl,
    OozieShow,
    TaskAnnotate,
    TaskSavepoint,
)
from signalbox_executor.store.operations import Operation

KINDS: Final = ("artifact.check", "task.savepoint", "task.annotate", "dag.pause", "oozie.control", "oozie.show")
EngineOperation = ArtifactCheck | TaskSavepoint | TaskAnnotate | DagPause | OozieControl | OozieShow
_KEEP: Final = """
INSERT INTO operation (id, kind, event_id, target, traceparent, engine_id, revision, plan_ids, data)
VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7) ON CONFLICT (id) DO NOTHING
"""
# An engine that no worker reaches for longer than a restart takes: any executor answers. Each engine has its own
# twenty: one that hangs, with many requests under way, keeps no other from an answer.
_PENDING: Final = """
SELECT o.*, o.data::text AS body, now() AS at, o.engine_id = ANY ($1) AS reached FROM (
  SELECT *, row_number() OVER (PARTITION BY engine_id ORDER BY requested_at, id) AS nth FROM operation
  WHERE kind = ANY ($2)) o
WHERE o.nth <= 20 AND (o.engine_id = ANY ($1) OR (o.requested_at < now() - interval '30 seconds' AND NOT EXISTS (
        SELECT FROM worker w WHERE NOT w.dead AND w.lease_until > now() AND o.engine_id = ANY (w.reaches))))
ORDER BY o.requested_at LIMIT 500
"""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One operation, and what it asks of the engine."""

    operation: Operation
    engine_id: str
    reached: bool
    data: dict[str, Any]


async def keep(connection: Connection, event: EngineOperation, traceparent: str | None) -> None:
    """Keep an operation until it is answered."""
    data = event.data
    kind = event.type_name().removeprefix("signalbox.").removesuffix(".v1")
    await connection.execute(
        _KEEP, data.operation_id, kind, event.id, event.subject or "", traceparent, data.engine_id,
        data.model_dump_json(),
    )  # fmt: skip


async def pending(connection: Connection, reached: Sequence[str]) -> list[EngineRequest]:
    """The oldest operations that a worker which reaches these engines can answer."""
    rows = await connection.fetch(_PENDING, list(reached), list(KINDS))
    return [
        EngineRequest(
            Operation(**{name: row[name] for name in Operation.__dataclass_fields__}), row["engine_id"] or "",
            bool(row["reached"]), from_json(row["body"]),
        )
        for row in rows
    ]  # fmt: skip
