"""A task's row as a frozen value, and the columns every statement returns."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
    traceparent: str | None
    moves: Sequence[Mapping[str, Any]]
    """The moves the fact of this version says, oldest first."""


_FIELDS: Final = tuple(Task.__dataclass_fields__)
_SAID_SO: Final = {
    # as text: SQLAlchemy's connections decode jsonb, asyncpg's own do not
    "waiting": "t.waiting::text AS waiting",
    "result": "t.result::text AS result",
    "moves": "t.moves::text AS moves",
}
COLUMNS: Final = ", ".join(_SAID_SO.get(name, f"t.{name}") for name in _FIELDS)
"""For RETURNING and SELECT, the table being `task t`."""

# INVARIANT one version always has the same moves: those since the last fact, and its own. Facts are told apart by task
# and version, so the same version with other moves would be dropped by its readers.
UNSAID: Final = "CASE WHEN t.said THEN '[]'::jsonb ELSE t.moves END"
"""What `moves` becomes in a statement that raises the version and does not move the task."""


def move(state: str, *, reason: str = "''", attempt: str = "t.attempt") -> str:
    """What `moves` becomes in a statement that moves the task; every argument is SQL."""
    return (
        f"{UNSAID} || jsonb_build_object('version', t.version + 1, 'state', {state}, 'attempt', {attempt},"
        f" 'at', now(), 'reason', left({reason}, 2000))"
    )


def task_of(row: Row) -> Task:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values["state"] = TaskState(values["state"])
    values["phase"] = Phase(values["phase"]) if values["phase"] else None
    values["cause"] = EndCause(values["cause"]) if values["cause"] else None
    values["waiting"] = json.loads(values["waiting"]) if values["waiting"] else None
    values["moves"] = json.loads(values["moves"])
    values["result"] = json.loads(values["result"]) if values["result"] else None
    return Task(**values)


def tasks_of(rows: Iterable[Row]) -> list[Task]:
    return [task_of(row) for row in rows]
