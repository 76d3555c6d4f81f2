"""A task's row as a frozen value, and the columns every statement returns."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue

from signalbox_chassis.connection import Row
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a fact says of a task, and what its writers guard with. Not its spec, which only a claim needs."""

    id: UUID
    plan_id: UUID
    item_key: str
    step: str | None
    engine_id: str
    state: TaskState
    reason: str
    version: int
    attempt: int
    max_attempts: int
    infrastructure_faults: int
    fence: int
    owner: UUID | None
    sends: int
    handle: str | None
    phase: Phase | None
    not_before: datetime
    cancel_requested_at: datetime | None
    kill: bool
    waiting: JsonValue
    cause: EndCause | None
    error: str | None
    exit_code: int | None
    result: JsonValue
    queued_at: datetime
    state_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    observed_at: datetime | None
    ended_at: datetime | None
    moved: bool
    """Its state changed in the transaction that read this."""


_FIELDS: Final = tuple(Task.__dataclass_fields__)
_SAID_SO: Final = {
    "moved": "t.state_at = now() AS moved",
    # as text: SQLAlchemy's connections decode jsonb, asyncpg's own do not
    "waiting": "t.waiting::text AS waiting",
    "result": "t.result::text AS result",
}
COLUMNS: Final = ", ".join(_SAID_SO.get(name, f"t.{name}") for name in _FIELDS)
"""For RETURNING and SELECT, the table being `task t`."""


def task_of(row: Row) -> Task:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["state"] = TaskState(values["state"])
    values["phase"] = Phase(values["phase"]) if values["phase"] else None
    values["cause"] = EndCause(values["cause"]) if values["cause"] else None
    values["waiting"] = json.loads(values["waiting"]) if values["waiting"] else None
    values["result"] = json.loads(values["result"]) if values["result"] else None
    return Task(**values)


def tasks_of(rows: Iterable[Row]) -> list[Task]:
    return [task_of(row) for row in rows]
