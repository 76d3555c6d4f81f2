"""Rows of plans, and the values they are."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.messages.plans import Counts, PlanTransition
from signalbox_contracts.states import PLAN_ENDS, PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner.graph import Progress
from signalbox_planner.plan import Dispatch, Hold, Intake, PendingOperation, Plan, PlanSpec, RulesSync, Stop
from signalbox_planner.store import progress

_GROUPED: Final = {
    "pages": ("intake", "pages"),
    "pages_seen": ("intake", "pages_seen"),
    "pages_published": ("intake", "pages_published"),
    "copy_position": ("intake", "copy_position"),
    "end_position": ("dispatch", "end_position"),
    "next_position": ("dispatch", "next_position"),
    "unsent_end": ("dispatch", "unsent_end"),
    "tasks": ("dispatch", "tasks"),
    "live_tasks": ("dispatch", "live_tasks"),
    "task_versions": ("dispatch", "task_versions"),
    "rules": ("rules", "rules"),
    "rules_version": ("rules", "version"),
    "rules_confirmed": ("rules", "confirmed"),
    "rules_published_at": ("rules", "published_at"),
    "pending_operations": ("rules", "pending_operations"),
    "held": ("hold", "held"),
    "held_by": ("hold", "actor"),
    "held_reason": ("hold", "reason"),
    "held_at": ("hold", "at"),
    "held_version": ("hold", "version"),
}
"""Columns of the plan's groups: the group, and the name there."""
_COLUMNS: Final = (
    "id", "spec", "definitions_revision", "traceparent", "state", "version", "published_version", "counts", "reason",
    "created_at", "started_at", "ended_at", "previous", "stop", "ready_items", "steps", "deadline_at", *_GROUPED,
)  # fmt: skip
_NEVER_CHANGED: Final = frozenset({"id", "traceparent", "created_at"})
_CHANGED: Final = tuple(name for name in _COLUMNS if name not in _NEVER_CHANGED)

# INVARIANT whoever changes a plan holds its row; locked in the order of ids, so that two batches never wait for
# each other in a circle.
_LOCKED: Final = f"SELECT {', '.join(_COLUMNS)} FROM plan WHERE id = ANY($1) ORDER BY id FOR UPDATE"  # noqa: S608
_LOCKED_NOW: Final = f"""
SELECT now() AS now, (SELECT version_floor FROM restore_mark) AS version_floor, p.*
FROM (SELECT) AS always LEFT JOIN LATERAL ({_LOCKED}) AS p ON true
"""  # noqa: S608
_N: Final = len(_COLUMNS)
_INSERT: Final = f"""
WITH new AS (
    INSERT INTO plan ({", ".join(_COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, _N + 1))})
    ON CONFLICT (id) DO NOTHING RETURNING id
), made AS (
    INSERT INTO plan_transition (plan_id, version, state, at, actor, reason)
    SELECT new.id, m.* FROM new,
        unnest(${_N + 1}::bigint[], ${_N + 2}::text[], ${_N + 3}::timestamptz[],
               ${_N + 4}::text[], ${_N + 5}::text[]) AS m
)
SELECT id FROM new
"""  # noqa: S608
_UPDATE: Final = f"UPDATE plan SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_CHANGED, 2))} WHERE id = $1"  # noqa: S608
_MADE: Final = """
INSERT INTO plan_transition (plan_id, version, state, at, actor, reason) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""
_TRANSITIONS: Final = """
SELECT version, state, at, actor, reason FROM plan_transition WHERE plan_id = $1 ORDER BY version DESC LIMIT $2
"""
# A fact puts off the next query, but not beyond the longest time since the last one: a busy plan may have a task that
# was lost, and no fact names that.
_POSTPONE_QUERY: Final = """
UPDATE plan SET queries = 0,
                query_at = least(now() + make_interval(secs => $2), queried_at + make_interval(secs => $3))
WHERE id = ANY($1)
"""
_DUE: Final = f"""
SELECT id FROM plan
WHERE state NOT IN {state_list(PLAN_ENDS)} AND started_at IS NOT NULL
  AND query_at <= now()
ORDER BY query_at LIMIT $1
"""  # noqa: S608
_QUERY_SOON: Final = "UPDATE plan SET query_at = least(query_at, now() + make_interval(secs => $2)) WHERE id = $1"
_MARK_QUERIED: Final = """
UPDATE plan
SET queries = least(queries + 1, 10), queried_at = now(),
    query_at = now() + make_interval(secs => least($2 * 2 ^ (queries + 1), $3) * (0.9 + 0.2 * random()))
WHERE id = $1
"""
# Closing rules are repeated each time twice as late, for a day: an executor that never reads them loses little.
_RULES_DUE: Final = """
SELECT id FROM plan
WHERE rules_published_at IS NOT NULL
  AND rules_published_at + greatest(make_interval(secs => $1), rules_published_at - ended_at) <= now()
  AND (ended_at IS NULL OR rules_published_at < ended_at + interval '1 day')
ORDER BY rules_published_at LIMIT $2
"""
_OVERDUE: Final = """
SELECT id FROM plan WHERE deadline_at <= now() AND ended_at IS NULL AND state IN ('RUNNING', 'PAUSED')
ORDER BY deadline_at LIMIT $1
"""
# As `lifecycle.dispatch_capacity`: busy plans that need nothing now would keep all younger ones from their turn.
_UNFINISHED: Final = """
SELECT id FROM plan
CROSS JOIN LATERAL (SELECT greatest($1::int, least(2 * coalesce((rules::json->>'limit')::bigint, 0), 20000)) AS of) size
WHERE state IN ('RUNNING', 'PAUSED', 'CANCELLING', 'ACCEPTED')
  AND ((state = 'RUNNING' AND NOT held AND ready_items > 0
       AND size.of - live_tasks >= least(200, size.of / 4, ready_items))
    OR (state = 'CANCELLING' AND ready_items > 0)
    OR copy_position IS NOT NULL)
ORDER BY created_at LIMIT 20
"""


# INVARIANT dropped with the cancel that ends its plan: fed again afterwards it would start what was cancelled.
_DROP_UNREAD: Final = """
UPDATE dead_letter SET state = 'DROPPED', settled_at = now(), actor = $2, reason = $3
WHERE topic = 'requests.v1' AND key = $1 AND state = 'PARKED' RETURNING id, attempts, error
"""


_PARKED_FACTS: Final = """
SELECT id, value FROM dead_letter WHERE topic = 'tasks.v1' AND key = $1 AND state = 'PARKED'
ORDER BY parked_at LIMIT 20
"""
_DROP_PARKED_FACTS: Final = """
UPDATE dead_letter SET state = 'DROPPED', settled_at = now(), actor = 'service:planner', reason = $2
WHERE id = ANY($1) AND state = 'PARKED' RETURNING id, attempts, error
"""


async def drop_unread_request(connection: Connection, plan_id: UUID, actor: str, reason: str) -> list[Row]:
    """Settle what was parked of the request of a plan that is not known; returns id, attempts and error of each."""
    return await connection.fetch(_DROP_UNREAD, str(plan_id).encode(), actor, f"the plan was cancelled: {reason}")


async def parked_facts(connection: Connection, plan_id: UUID) -> dict[UUID, bytes | None]:
    """The facts of this plan's tasks that lie parked here, the oldest first."""
    return {row["id"]: row["value"] for row in await connection.fetch(_PARKED_FACTS, str(plan_id).encode())}


async def drop_parked_facts(connection: Connection, ids: Sequence[UUID], reason: str) -> list[Row]:
    """Settle parked facts whose states were applied; returns id, attempts and error of each."""
    return await connection.fetch(_DROP_PARKED_FACTS, list(ids), reason)


async def locked(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Plan]:
    """These plans, locked until the transaction ends; those that are not known are left out."""
    return await _plans(connection, await connection.fetch(_LOCKED, list(set(ids))))


async def created_at(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When those of these plans that exist were requested."""
    rows = await connection.fetch("SELECT id, created_at FROM plan WHERE id = ANY ($1)", list(ids))
    return {row["id"]: row["created_at"] for row in rows}


async def locked_now(connection: Connection, ids: Iterable[UUID]) -> tuple[dict[UUID, Plan], datetime, int]:
    """These plans, as `locked`; the transaction's time; and the version a new plan begins with.

    A plan that was lost with a restore goes on above the version it had.
    """
    rows = await connection.fetch(_LOCKED_NOW, list(set(ids)))
    now, floor = rows[0]["now"], rows[0]["version_floor"]
    found = await _plans(connection, [row for row in rows if row["id"] is not None])
    return found, now, max(1, floor or 0)


async def _plans(connection: Connection, rows: Sequence[Row]) -> dict[UUID, Plan]:
    """The plans of these rows, pipelines with their steps."""
    graphs = [row["id"] for row in rows if row["steps"]]
    steps = await progress.load(connection, graphs) if graphs else {}
    return {row["id"]: _plan(row, steps.get(row["id"])) for row in rows}


async def transaction_time(connection: Connection) -> datetime:
    """The time of the transaction, the same for everything in it."""
    return await connection.fetchval("SELECT now()")


async def save(connection: Connection, plans: Sequence[Plan], *, new: Collection[UUID] = ()) -> None:
    """Save these plans, which are locked or new, with the transitions they made."""
    changed = [plan for plan in plans if plan.id not in new]
    for plan in plans:
        if plan.id in new:
            await _add(connection, plan)
        if plan.progress is not None:
            await progress.save(connection, plan.id, plan.progress)
    if changed:
        await connection.executemany(_UPDATE, [(plan.id, *_values(plan, _CHANGED)) for plan in changed])
    made = [(plan.id, *transition) for plan in changed for transition in _transitions(plan)]
    if made:
        await connection.executemany(_MADE, made)


async def _add(connection: Connection, plan: Plan) -> None:
    """Add a new plan in one statement with its transitions: most plans arrive, and start, in one message."""
    columns = [list(column) for column in zip(*_transitions(plan), strict=True)] or [[], [], [], [], []]
    if await connection.fetchval(_INSERT, *_values(plan, _COLUMNS), *columns) is None:
        raise asyncpg.SerializationError(f"plan {plan.id} was added meanwhile, with another of its pages")


def _transitions(plan: Plan) -> list[tuple[int, str, datetime, str | None, str]]:
    return [(made.version, str(made.state), made.at, made.actor, made.reason) for made in plan.transitions]


async def transitions(connection: Connection, plan_id: UUID) -> tuple[PlanTransition, ...]:
    """Every transition of a plan, the first one first; the last ones when they are too many for a message."""
    rows = await connection.fetch(_TRANSITIONS, plan_id, MAX_ITEMS)
    return tuple(PlanTransition.model_validate(dict(row)) for row in reversed(rows))


async def postpone_query(connection: Connection, ids: Sequence[UUID], *, seconds: float, max_seconds: float) -> None:
    """Tasks of these plans were stated: the next query can wait."""
    await connection.execute(_POSTPONE_QUERY, list(ids), seconds, max_seconds)


async def query_soon(connection: Connection, plan_id: UUID, *, seconds: float) -> None:
    """Query the tasks of this plan then, unless they are stated before."""
    await connection.execute(_QUERY_SOON, plan_id, seconds)


async def due_for_query(connection: Connection, *, max_plans: int) -> list[UUID]:
    """Plans without a fact of their tasks, or without a query, for too long."""
    return [row["id"] for row in await connection.fetch(_DUE, max_plans)]


async def mark_queried(connection: Connection, plan_id: UUID, *, seconds: float, max_seconds: float) -> None:
    """Query again later, each time twice as late."""
    await connection.execute(_MARK_QUERIED, plan_id, seconds, max_seconds)


async def unconfirmed(connection: Connection, *, seconds: float, max_plans: int) -> list[UUID]:
    """Plans whose newest rules were published this long ago and are not confirmed."""
    return [row["id"] for row in await connection.fetch(_RULES_DUE, seconds, max_plans)]


async def overdue(connection: Connection, *, max_plans: int) -> list[UUID]:
    """Plans whose time limit has passed."""
    return [row["id"] for row in await connection.fetch(_OVERDUE, max_plans)]


async def unfinished(connection: Connection, *, window: int) -> list[UUID]:
    """Plans with items that the planner itself has to send, cancel or copy."""
    return [row["id"] for row in await connection.fetch(_UNFINISHED, window)]


def _values(plan: Plan, columns: Sequence[str]) -> list[Any]:
    return [_encoded(name, _value(plan, name)) for name in columns]


def _value(plan: Plan, column: str) -> Any:
    if column in _GROUPED:
        group, name = _GROUPED[column]
        return getattr(getattr(plan, group), name)
    if column == "ready_items":
        return 0 if plan.ended else plan.unsent
    if column == "steps":
        return len(plan.progress.runs) if plan.progress else 0
    return getattr(plan, column)


def _encoded(column: str, value: Any) -> Any:
    if column in ("spec", "rules", "counts"):
        return value.model_dump_json(exclude_defaults=True)
    if column == "pending_operations":
        return json.dumps([[str(one.operation_id), one.rules_version] for one in value]) if value else "[]"
    if column == "stop":
        return json.dumps(value) if value else None
    return str(value) if column == "state" else value


def _plan(row: Any, steps: Progress | None) -> Plan:
    intake = Intake(row["pages"], row["pages_seen"], row["pages_published"], row["copy_position"])
    dispatch = Dispatch(
        row["end_position"], row["next_position"], row["unsent_end"], row["tasks"], row["live_tasks"],
        row["task_versions"],
    )  # fmt: skip
    rules = RulesSync(
        _rules(row["rules"]), row["rules_version"], row["rules_confirmed"], row["rules_published_at"],
        _pending(row["pending_operations"]),
    )  # fmt: skip
    hold = Hold(row["held"], row["held_by"], row["held_reason"], row["held_at"], row["held_version"])
    return Plan(
        id=row["id"], spec=_spec(row["spec"]), definitions_revision=row["definitions_revision"],
        traceparent=row["traceparent"], state=PlanState(row["state"]), version=row["version"],
        published_version=row["published_version"], counts=Counts.model_validate_json(row["counts"]),
        reason=row["reason"], created_at=row["created_at"], started_at=row["started_at"], ended_at=row["ended_at"],
        intake=intake, dispatch=dispatch, progress=steps, rules=rules, hold=hold, previous=row["previous"],
        stop=Stop(*json.loads(row["stop"])) if row["stop"] else None,
    )  # fmt: skip


def _pending(text: str) -> tuple[PendingOperation, ...]:
    if text == "[]":
        return ()
    return tuple(PendingOperation(UUID(operation), version) for operation, version in json.loads(text))


@lru_cache(maxsize=1024)
def _spec(text: str) -> PlanSpec:
    return PlanSpec.model_validate_json(text)


@lru_cache(maxsize=1024)
def _rules(text: str) -> Rules:
    return Rules.model_validate_json(text)
