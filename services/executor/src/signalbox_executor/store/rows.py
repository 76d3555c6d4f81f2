"""A task's row as a frozen value, and the columns every statement returns."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TASK_ENDS, TASKS_HOLDING_A_SLOT, TaskState

ENDED: Final = state_list(TASK_ENDS)
TRIED: Final = state_list(TASK_ENDS - {TaskState.CANCELLED})
ACTIVE: Final = state_list(TASKS_HOLDING_A_SLOT)
OWNED: Final = state_list({TaskState.CLAIMED, TaskState.SUBMITTING})
OBSERVED: Final = state_list({TaskState.RUNNING, TaskState.UNKNOWN})
SENT: Final = state_list({TaskState.SUBMITTING, TaskState.RUNNING})
UNSENT: Final = state_list({TaskState.QUEUED, TaskState.CLAIMED})
LIVE: Final = state_list({TaskState.QUEUED, *TASKS_HOLDING_A_SLOT})
_LISTS: Final = {"ended": ENDED, "tried": TRIED, "active": ACTIVE, "owned": OWNED, "observed": OBSERVED, "sent": SENT,
                 "unsent": UNSENT, "live": LIVE}  # fmt: skip


def with_states(statement: str) -> str:
    """The statement with lists of states in place of `{ended}`, `{active}` and so on: they come from the contracts."""
    for name, listed in _LISTS.items():
        statement = statement.replace(f"{{{name}}}", listed)
    return statement


class Task(NamedTuple):
    """What a fact says of a task, and what its writers guard with. Not its spec, which only a claim needs.

    JSON stays text until a fact needs it: a row is read several times in a task's life, and published once or twice.
    """

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
    handle_url: str | None
    phase: Phase | None
    not_before: datetime
    cancel_requested_at: datetime | None
    kill: bool
    waiting: str | None
    cause: EndCause | None
    error: str | None
    exit_code: int | None
    result: str | None
    queued_at: datetime
    state_at: datetime
    submitted_at: datetime | None
    started_at: datetime | None
    observed_at: datetime | None
    ended_at: datetime | None
    traceparent: str | None
    pending_transitions: str
    """The transitions that the fact of this version carries, oldest first."""


_FIELDS: Final = Task._fields
_STATE, _PHASE, _CAUSE = (_FIELDS.index(name) for name in ("state", "phase", "cause"))
_AS_TEXT: Final = {
    # as text: connections of the pool decode jsonb, those of one's own do not
    "waiting": "t.waiting::text AS waiting",
    "result": "t.result::text AS result",
    "pending_transitions": "t.pending_transitions::text AS pending_transitions",
}
_STATES: Final = {state.value: state for state in TaskState}
COLUMNS: Final = ", ".join(_AS_TEXT.get(name, f"t.{name}") for name in _FIELDS)
"""For RETURNING and SELECT, the table being `task t`."""

# INVARIANT one version always has the same transitions: those since the last fact, and its own. The id of a fact comes
# from task and version, so the same version with other transitions would be dropped by its readers.
UNPUBLISHED: Final = "CASE WHEN t.published THEN '[]'::jsonb ELSE t.pending_transitions END"
"""`pending_transitions` in a statement that raises the version and does not move the task."""


def move(state: str, *, reason: str = "''", attempt: str = "t.attempt") -> str:
    """What `pending_transitions` becomes in a statement that pending_transitions the task; every argument is SQL."""
    return (
        f"{UNPUBLISHED} || jsonb_build_object('version', t.version + 1, 'state', {state}, 'attempt', {attempt},"
        f" 'at', now(), 'reason', left({reason}, 2000))"
    )


def undecided(reason: str) -> str:
    """`waiting` in a statement that makes the task UNKNOWN: a person may decide, the policy may too."""
    policy = "COALESCE(t.on_unknown, (SELECT e.definition ->> 'on_unknown' FROM engine e WHERE e.id = t.engine_id))"
    return (
        "jsonb_build_object('why', 'person', 'holder', 'engine:' || t.engine_id, 'since_at', now(), 'detail',"
        f" left('attempt ' || t.attempt || ': ' || {reason} || COALESCE('; policy ' || NULLIF({policy}, 'hold') ||"
        " ' decides by itself if it is not seen again', ''), 2000))"
    )


def task_of(row: Row) -> Task:
    """The task in a row that begins with `COLUMNS`."""
    values: list[Any] = list(row.values())[: len(_FIELDS)]
    values[_STATE] = _STATES[values[_STATE]]
    values[_PHASE] = Phase(values[_PHASE]) if values[_PHASE] else None
    values[_CAUSE] = EndCause(values[_CAUSE]) if values[_CAUSE] else None
    return Task._make(values)


def tasks_of(rows: Iterable[Row]) -> list[Task]:
    return [task_of(row) for row in rows]
