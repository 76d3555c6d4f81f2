"""Reading the read model: rows become the answers of `docs/architecture/api.md`.

A page is read from where the last one ended, never by counting rows off: the hundred-thousandth costs what the first
does. `after` is what the cursor holds; `next_after` is None on the last page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.states import TASK_ENDS, TaskState
from signalbox_gateway.read_model import wait_reasons
from signalbox_gateway.read_model.rows import TASK_DEFAULTS, PlanRow

Answer = dict[str, Any]
After = Sequence[Any]
_TASK_ENDS: Final = frozenset(state.value for state in TASK_ENDS)
Visible = tuple[list[str], list[str]] | None
"""Projects and engines in pairs, `*` for any: only what is in one of these places. None is everything."""

MAX_WAITING: Final = 1000
"""Tasks of one plan whose reasons are summed up; more say nothing new."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some answers, and where the next ones begin."""

    items: list[Answer]
    next_after: list[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFilter:
    """Which plans; several values of one field mean any of them."""

    state: Sequence[str] = ()
    project: Sequence[str] = ()
    target: Sequence[str] = ()
    actor: Sequence[str] = ()
    label: Sequence[str] = ()
    """`key:value`; all of them."""
    parent: Sequence[UUID] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None
    q: str = ""
    """Part of the name or the target."""
    visible: Visible = None

    @property
    def by_end(self) -> bool:
        """Whether only ended plans are wanted: they are listed by their end, not by their creation."""
        return self.ended_after is not None or self.ended_before is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks."""

    plan: Sequence[UUID] = ()
    state: Sequence[str] = ()
    engine: Sequence[str] = ()
    why: Sequence[str] = ()
    visible: Visible = None


class Where:
    """Conditions and their values, numbered in order. The words are ours, the values are bound."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.values: list[Any] = []

    def add(self, words: str, *values: Any) -> None:
        for value in values:
            self.values.append(value)
            words = words.replace("?", f"${len(self.values)}", 1)
        self.words.append(words)

    def any_of(self, column: str, type: str, wanted: Sequence[Any]) -> None:
        if wanted:
            self.add(f"{column} = ANY(?::{type}[])", list(wanted))

    def __str__(self) -> str:
        return " AND ".join(self.words) if self.words else "true"


_PLAN: Final = """
SELECT p.id, p.record, p.trace_id, p.complete, p.reported_at, p.created_at, p.ended_at, pending.* FROM plan p
LEFT JOIN LATERAL (
    SELECT o.id AS operation_id, o.operation, o.actor AS requested_by, o.requested_at FROM operation o
    WHERE o.target = 'plan:' || p.id
      AND NOT EXISTS (SELECT FROM operation_answer a WHERE a.operation_id = o.id)
    ORDER BY o.requested_at DESC LIMIT 1) pending ON true
WHERE {where}
"""

_VISIBLE_PLAN: Final = """EXISTS (
    SELECT FROM unnest(?::text[], ?::text[]) AS place (project, engine) WHERE place.project IN ('*', p.project)
      AND (place.engine = '*' OR place.engine IN (SELECT engines_of_plan(p.id, p.target))))"""
_VISIBLE_TASK: Final = """EXISTS (
    SELECT FROM unnest(?::text[], ?::text[]) AS place (project, engine)
    WHERE place.project IN ('*', p.project) AND place.engine IN ('*', t.engine))"""

_PLAN_WAITING: Final = """
SELECT p.id AS plan_id, t.why, t.engine, count(*)::int AS tasks, min(t.record::jsonb #>> '{waiting,since_at}') AS since,
    (array_agg(t.record))[1] AS record
FROM unnest($1::uuid[]) AS p (id)
CROSS JOIN LATERAL (SELECT why, engine, record FROM task WHERE plan_id = p.id AND why IS NOT NULL LIMIT $2) t
GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3 LIMIT 500
"""


async def plan(connection: Connection, id: UUID) -> Answer | None:
    """One plan as the API shows it; None when there is none."""
    return (await plans_of(connection, [id])).get(id)


def accepted(row: PlanRow) -> Answer:
    """A plan whose first row was just written: nothing else is known of it."""
    nothing = {"operation_id": None, "complete": False}
    return _plan({"record": row.record, "trace_id": row.trace_id, "created_at": row.created_at, **nothing}, [])


async def plans_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Answer]:
    """These plans, those that are there."""
    rows = await connection.fetch(_PLAN.replace("{where}", "p.id = ANY($1)"), list(ids))
    return {row["id"]: one for row, one in zip(rows, await _plans(connection, rows), strict=True)}


async def plans(connection: Connection, wanted: PlanFilter, *, limit: int, after: After | None = None) -> Page:
    """Plans, newest first; with a filter on the end, the newest end first.

    `after` is (created_at, id) or (ended_at, id) of the last one read.
    """
    where = plan_where(wanted)
    order = "ended_at" if wanted.by_end else "created_at"
    if after is not None:
        where.add(f"(p.{order}, p.id) < (?::timestamptz, ?::uuid)", datetime.fromisoformat(after[0]), UUID(after[1]))
    query = _PLAN.replace("{where}", str(where)) + f" ORDER BY p.{order} DESC, p.id DESC LIMIT {limit + 1:d}"
    rows = await connection.fetch(query, *where.values)
    more = len(rows) > limit
    rows = rows[:limit]
    last = [rows[-1][order].isoformat(), str(rows[-1]["id"])] if more else None
    return Page(await _plans(connection, rows), last)


async def plan_counts(connection: Connection, wanted: PlanFilter) -> dict[str, int]:
    """How many plans are in each state."""
    where = plan_where(wanted)
    query = "SELECT p.state, count(*)::int AS n FROM plan p WHERE {where} GROUP BY 1 ORDER BY 1"
    rows = await connection.fetch(query.replace("{where}", str(where)), *where.values)
    return {row["state"]: row["n"] for row in rows}


def plan_where(wanted: PlanFilter) -> Where:
    """The conditions of a filter, for a query of `plan p`."""
    where = Where()
    where.any_of("p.state", "text", wanted.state)
    where.any_of("p.project", "text", wanted.project)
    where.any_of("p.target", "text", wanted.target)
    where.any_of("p.actor", "text", wanted.actor)
    where.any_of("p.parent", "uuid", wanted.parent)
    for label in wanted.label:
        name, _, value = label.partition(":")
        where.add("p.labels @> jsonb_build_object(?::text, ?::text)", name, value)
    if wanted.created_after is not None:
        where.add("p.created_at >= ?::timestamptz", wanted.created_after)
    if wanted.created_before is not None:
        where.add("p.created_at < ?::timestamptz", wanted.created_before)
    if wanted.ended_after is not None:
        where.add("p.ended_at >= ?::timestamptz", wanted.ended_after)
    if wanted.ended_before is not None:
        where.add("p.ended_at < ?::timestamptz", wanted.ended_before)
    if wanted.visible is not None:
        where.add(_VISIBLE_PLAN, *wanted.visible)
    if wanted.q:
        where.add("strpos(lower(p.name || ' ' || COALESCE(p.target, '')), lower(?::text)) > 0", wanted.q)
    return where


async def _plans(connection: Connection, rows: Sequence[Row]) -> list[Answer]:
    ids = [row["id"] for row in rows]
    waiting: dict[UUID, list[Row]] = {id: [] for id in ids}
    for row in await connection.fetch(_PLAN_WAITING, ids, MAX_WAITING) if ids else []:
        waiting[row["plan_id"]].append(row)
    return [_plan(row, waiting[row["id"]]) for row in rows]


def _plan(row: Row, waiting: Sequence[Row]) -> Answer:
    answer: Answer = from_json(row["record"])
    id = answer.pop("plan_id")
    answer["created_at"] = row["created_at"].isoformat().replace("+00:00", "Z")
    own = [wait_reasons.describe(one, plan=id) for one in answer.pop("waiting")]
    tasks = [
        wait_reasons.describe(_task_waiting(one), plan=id, engine=one["engine"], tasks=one["tasks"])
        for one in waiting
        if not any(mine["why"] == one["why"] for mine in own)
    ]
    return {
        "id": id,
        **answer,
        "waiting": [*own, *tasks],
        "trace_id": row["trace_id"],
        "pending_operation": _pending(row),
        "complete": row["complete"],
    }


def _pending(row: Row) -> Answer | None:
    """What was asked of it and is not answered yet."""
    if row["operation_id"] is None:
        return None
    pending = {"operation_id": row["operation_id"], "operation": row["operation"]}
    return {**pending, "actor": row["requested_by"], "requested_at": row["requested_at"]}


def _task_waiting(row: Row) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = from_json(row["record"])["waiting"]
    return {**answer, "since_at": row["since"]}


async def plan_events(connection: Connection, id: UUID, *, limit: int, after: After | None = None) -> Page:
    """The moves of a plan, the first one first."""
    rows = await connection.fetch(
        "SELECT version, state, at, actor, reason FROM plan_event WHERE plan_id = $1 AND version > $2"
        " ORDER BY version LIMIT $3",
        id,
        after[0] if after else -1,
        limit + 1,
    )
    return _page([dict(row) for row in rows], limit, "version")


async def plan_items(
    connection: Connection,
    id: UUID,
    *,
    decision: Sequence[str] = (),
    state: Sequence[str] = (),
    limit: int,
    after: After | None = None,
) -> Page:
    """The items of a plan as decided, by position, each with the state of its task now."""
    where = Where()
    where.add("t.plan_id = ?", id)
    where.add("t.item IS NOT NULL")
    where.any_of("t.decision", "text", decision)
    where.any_of("t.state", "text", state)
    if after is not None:
        where.add("(t.position, t.id) > (?::bigint, ?::uuid)", after[0], UUID(after[1]))
    query = "SELECT t.id, t.position, t.item, t.state FROM task t WHERE {where} ORDER BY t.position, t.id LIMIT "
    rows = await connection.fetch(query.replace("{where}", str(where)) + f"{limit + 1:d}", *where.values)
    items = [{**_ITEM, **from_json(row["item"])} | ({"state": row["state"]} if row["state"] else {}) for row in rows]
    return _keyed(items, rows, limit)


_ITEM: Final[Answer] = {
    "key": None, "position": None, "decision": None, "reason": "", "step": None, "engine": None, "task_id": None,
    "state": None, "depends_on": [], "expected": None, "deletes": [], "owner_plan": None,
}  # fmt: skip

# Only what is UNKNOWN can be resolved, which is all that is asked of a task itself: the others are not looked up.
_TASKS: Final = """
SELECT t.id, t.plan_id, t.seq, t.position, t.record, p.trace_id, pending.*
FROM task t LEFT JOIN plan p ON p.id = t.plan_id
LEFT JOIN LATERAL (
    SELECT o.id AS operation_id, o.operation, o.actor AS requested_by, o.requested_at FROM operation o
    WHERE t.state = 'UNKNOWN' AND o.target = 'task:' || t.id
      AND NOT EXISTS (SELECT FROM operation_answer a WHERE a.operation_id = o.id)
    ORDER BY o.requested_at DESC LIMIT 1) pending ON true
WHERE t.version >= 0 AND {where}
"""


_UNSTATED: Final = """
SELECT t.item, t.plan_id, p.created_at, p.trace_id FROM task t JOIN plan p ON p.id = t.plan_id
WHERE t.id = $1 AND t.version < 0 AND t.item IS NOT NULL AND t.decision = 'run'
  AND p.state NOT IN ('ACCEPTED', 'RESOLVING', 'PREVIEWED', 'AWAITING_APPROVAL', 'REFUSED')
"""


async def task(connection: Connection, id: UUID) -> Answer | None:
    """One task as the API shows it; None when there is none."""
    row = await connection.fetchrow(_TASKS.replace("{where}", "t.id = $1"), id)
    return _task(row) if row is not None else await _unstated_task(connection, id)


async def _unstated_task(connection: Connection, id: UUID) -> Answer | None:
    """A task of a plan that runs, or ran, of which no executor has published anything: as its item says."""
    row = await connection.fetchrow(_UNSTATED, id)
    if row is None:
        return None
    item, at = from_json(row["item"]), row["created_at"].isoformat().replace("+00:00", "Z")
    state = item.get("state") or TaskState.QUEUED.value
    ended = {"error": item.get("reason"), "cause": "cancelled"} if state == TaskState.CANCELLED.value else {}
    return {
        **TASK_DEFAULTS, "id": str(id), "plan_id": str(row["plan_id"]), "item_key": item["key"], "version": 0,
        "state": state, "engine": item["engine"], "step": item.get("step"), "queued_at": at, **ended,
        "trace_id": row["trace_id"], "pending_operation": None,
    }  # fmt: skip


async def tasks(connection: Connection, wanted: TaskFilter, *, limit: int, after: After | None = None) -> Page:
    """Tasks of one plan by position, of all plans newest first."""
    where = task_where(wanted)
    of_one = len(wanted.plan) == 1
    if after is not None and of_one:
        where.add("(t.position, t.id) > (?::bigint, ?::uuid)", after[0], UUID(after[1]))
    elif after is not None:
        where.add("t.seq < ?::bigint", after[0])
    order = "t.position, t.id" if of_one else "t.seq DESC"
    query = _TASKS.replace("{where}", str(where)) + f" ORDER BY {order} LIMIT {limit + 1:d}"
    rows = await connection.fetch(query, *where.values)
    found = [_task(row) for row in rows]
    if of_one:
        return _keyed(found, rows, limit)
    return Page(found[:limit], [rows[limit - 1]["seq"]] if len(rows) > limit else None)


def task_where(wanted: TaskFilter) -> Where:
    """The conditions of a filter, for a query of `task t` joined with its `plan p`."""
    where = Where()
    where.any_of("t.plan_id", "uuid", wanted.plan)
    where.any_of("t.state", "text", wanted.state)
    where.any_of("t.engine", "text", wanted.engine)
    where.any_of("t.why", "text", wanted.why)
    if wanted.visible is not None:
        where.add(_VISIBLE_TASK, *wanted.visible)
    return where


def _task(row: Row) -> Answer:
    answer = {**TASK_DEFAULTS, **from_json(row["record"])}
    id, plan = answer.pop("task_id"), str(row["plan_id"])
    waiting = answer["waiting"]
    answer["waiting"] = wait_reasons.describe(waiting, plan=plan, engine=answer["engine"], task=id) if waiting else None
    return {"id": id, "plan_id": plan, **answer, "trace_id": row["trace_id"], "pending_operation": _pending(row)}


async def task_events(connection: Connection, id: UUID, *, limit: int, after: After | None = None) -> Page:
    """The moves of a task, the first one first."""
    rows = await connection.fetch(
        "SELECT version, state, attempt, at, reason FROM task_event WHERE task_id = $1 AND version > $2"
        " ORDER BY version LIMIT $3",
        id,
        after[0] if after else -1,
        limit + 1,
    )
    return _page([dict(row) for row in rows], limit, "version")


_ATTEMPT: Final[Answer] = {
    "attempt": None, "state": None, "run_key": None, "handle": None, "handle_url": None, "phase": None, "cause": None,
    "exit_code": None, "error": None, "submitted_at": None, "started_at": None, "ended_at": None,
}  # fmt: skip


async def task_attempts(connection: Connection, id: UUID, *, limit: int, after: After | None = None) -> Page:
    """The tries of a task, the first one first."""
    rows = await connection.fetch(
        "SELECT attempt, ended, record::text AS record FROM task_attempt WHERE task_id = $1 AND attempt > $2::bigint"
        " ORDER BY attempt LIMIT $3",
        id,
        after[0] if after else 0,
        limit + 1,
    )
    return _page([_attempt(row) for row in rows], limit, "attempt")


_CAUSES: Final = {"completed": TaskState.SUCCEEDED.value, "cancelled": TaskState.CANCELLED.value}
_END_PHASES: Final = {
    "completed": "succeeded", "failed": "failed", "killed": "killed", "cancelled": "killed", "lost": "lost",
}  # fmt: skip
_LIVE_PHASES: Final = frozenset({"submitted", "running", "suspended"})


def _attempt(row: Row) -> Answer:
    """A try. One that ended says so: its last state and phase may have been published while it ran."""
    attempt: Answer = {**_ATTEMPT, **from_json(row["record"])}
    if row["ended"] and attempt["state"] not in _TASK_ENDS:
        attempt["state"] = _CAUSES.get(attempt["cause"], TaskState.FAILED.value)
    if row["ended"] and attempt["phase"] in _LIVE_PHASES:
        attempt["phase"] = _END_PHASES.get(attempt["cause"])
    return attempt


async def dead_letters(
    connection: Connection,
    *,
    service: Sequence[str] = (),
    topic: Sequence[str] = (),
    state: Sequence[str] = (),
    limit: int,
    after: After | None = None,
) -> Page:
    """Parked messages, newest first, without the message itself."""
    where = Where()
    where.any_of("d.service", "text", service)
    where.any_of("d.topic", "text", topic)
    where.any_of("d.state", "text", state)
    if after is not None:
        where.add("(d.parked_at, d.id) < (?::timestamptz, ?::uuid)", datetime.fromisoformat(after[0]), UUID(after[1]))
    query = "SELECT d.* FROM parked d WHERE {where} ORDER BY d.parked_at DESC, d.id DESC LIMIT "
    rows = await connection.fetch(query.replace("{where}", str(where)) + f"{limit + 1:d}", *where.values)
    found = [_letter(row) for row in rows[:limit]]
    for letter in found:
        del letter["value_start"], letter["headers"]
    last = [rows[limit - 1]["parked_at"].isoformat(), str(rows[limit - 1]["id"])] if len(rows) > limit else None
    return Page(found, last)


async def dead_letter(connection: Connection, id: UUID) -> Answer | None:
    """One parked message with its headers and beginning."""
    row = await connection.fetchrow("SELECT d.* FROM parked d WHERE d.id = $1", id)
    return _letter(row) if row is not None else None


def _letter(row: Row) -> Answer:
    answer: Answer = from_json(row["record"])
    return {"id": answer.pop("dead_letter_id"), "state": row["state"], "operation_id": row["operation_id"], **answer}


_OPERATION: Final = """
SELECT o.id, o.operation, o.target, o.actor, o.reason, COALESCE(a.state, 'pending') AS state,
    COALESCE(a.answer, '') AS answer, a.details, o.trace_id, o.requested_at, a.answered_at
FROM operation o LEFT JOIN operation_answer a ON a.operation_id = o.id WHERE o.id = $1
"""


async def operation(connection: Connection, id: UUID) -> Answer | None:
    """What was asked and what was answered; None when nothing was asked under this id."""
    row = await connection.fetchrow(_OPERATION, id)
    if row is None:
        return None
    return {**row, "details": from_json(row["details"]) if row["details"] is not None else None}


async def parked_of(connection: Connection, plan_id: str) -> Answer | None:
    """The oldest message of a plan that a service could not take, if any."""
    row = await connection.fetchrow(
        "SELECT id, service, parked_at, record::jsonb ->> 'error' AS error FROM parked"
        " WHERE record::jsonb ->> 'key' = $1 AND state NOT IN ('REDRIVEN', 'DROPPED') ORDER BY parked_at LIMIT 1",
        plan_id,
    )
    return dict(row) if row else None


async def engine_states(connection: Connection, ids: Sequence[str] | None = None) -> dict[str, Answer]:
    """The last state said of these engines, or of all."""
    rows = await connection.fetch(
        "SELECT id, record FROM engine_state WHERE $1::text[] IS NULL OR id = ANY($1) ORDER BY id",
        list(ids) if ids is not None else None,
    )
    return {row["id"]: from_json(row["record"]) for row in rows}


def _page(items: list[Answer], limit: int, key: str) -> Page:
    return Page(items[:limit], [items[limit - 1][key]] if len(items) > limit else None)


def _keyed(items: list[Answer], rows: Sequence[Row], limit: int) -> Page:
    more = len(rows) > limit
    return Page(items[:limit], [rows[limit - 1]["position"], str(rows[limit - 1]["id"])] if more else None)
