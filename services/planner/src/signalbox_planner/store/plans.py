"""Rows of plans, and the values they are."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.messages.plans import Counts, PlanTransition
from signalbox_contracts.states import PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner.lifecycle import Awaited, Frame, Plan

_COLUMNS: Final = (
    "id", "frame", "definitions_revision", "traceparent", "state", "version", "counts", "reason", "created_at",
    "started_at", "ended_at", "pages", "pages_seen", "pages_said", "end_position", "next_position", "unsent_end",
    "tasks", "live_tasks", "task_versions", "rules", "rules_version", "rules_confirmed", "rules_said_at", "held",
    "held_by", "held_reason", "held_at", "held_version", "stop_actor", "stop_reason", "stop_kill", "awaited",
    "parent_position", "said_version",
)  # fmt: skip
_NEVER_CHANGED: Final = frozenset({"id", "traceparent", "created_at"})
_CHANGED: Final = tuple(name for name in _COLUMNS if name not in _NEVER_CHANGED)

# INVARIANT whoever changes a plan holds its row; locked in the order of ids, so that two batches never wait for
# each other in a circle.
_LOCKED: Final = f"SELECT {', '.join(_COLUMNS)} FROM plan WHERE id = ANY($1) ORDER BY id FOR UPDATE"  # noqa: S608
_LOCKED_NOW: Final = f"""
SELECT now() AS now, (SELECT floor FROM life) AS floor, p.*
FROM (SELECT) AS always LEFT JOIN LATERAL ({_LOCKED}) AS p ON true
"""  # noqa: S608
_N: Final = len(_COLUMNS)
_INSERT: Final = f"""
WITH new AS (
    INSERT INTO plan ({", ".join(_COLUMNS)}) VALUES ({", ".join(f"${n}" for n in range(1, _N + 1))})
    ON CONFLICT (id) DO NOTHING RETURNING id
), moved AS (
    INSERT INTO plan_move (plan_id, version, state, at, actor, reason)
    SELECT new.id, m.* FROM new,
        unnest(${_N + 1}::bigint[], ${_N + 2}::text[], ${_N + 3}::timestamptz[],
               ${_N + 4}::text[], ${_N + 5}::text[]) AS m
)
SELECT id FROM new
"""  # noqa: S608
_UPDATE: Final = f"UPDATE plan SET {', '.join(f'{name} = ${n}' for n, name in enumerate(_CHANGED, 2))} WHERE id = $1"  # noqa: S608
_MOVED: Final = """
INSERT INTO plan_move (plan_id, version, state, at, actor, reason) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
"""
_MOVES: Final = """
SELECT version, state, at, actor, reason FROM plan_move WHERE plan_id = $1 ORDER BY version DESC LIMIT $2
"""
# News from the executor push the next question back to where questions start, yet never beyond the longest time since
# the last one: a busy plan may have a task that was lost, and nobody speaks of that.
_HEARD: Final = """
UPDATE plan SET asks = 0, ask_at = least(now() + make_interval(secs => $2), asked_at + make_interval(secs => $3))
WHERE id = ANY($1)
"""
_DUE: Final = """
SELECT id FROM plan
WHERE state NOT IN ('SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED', 'REFUSED') AND started_at IS NOT NULL
  AND ask_at <= now()
ORDER BY ask_at LIMIT $1
"""
_ASKED: Final = """
UPDATE plan SET asks = least(asks + 1, 10), asked_at = now(),
                ask_at = now() + make_interval(secs => least($2 * 2 ^ (asks + 1), $3) * (0.9 + 0.2 * random()))
WHERE id = $1
"""
# Closing rules are repeated each time twice as late, for a day: an executor that never heard of it loses little.
_RULES_DUE: Final = """
SELECT id FROM plan
WHERE rules_said_at IS NOT NULL
  AND rules_said_at + greatest(make_interval(secs => $1), rules_said_at - ended_at) <= now()
  AND (ended_at IS NULL OR rules_said_at < ended_at + interval '1 day')
ORDER BY rules_said_at LIMIT $2
"""
_UNFINISHED: Final = """
SELECT id FROM plan
WHERE state IN ('RUNNING', 'PAUSED', 'CANCELLING', 'ACCEPTED')
  AND ((state = 'RUNNING' AND NOT held AND next_position < unsent_end
       AND live_tasks < greatest($1, least(2 * coalesce((rules::json->>'limit')::int, 0), 20000)))
    OR (state = 'CANCELLING' AND next_position < unsent_end)
    OR parent_position IS NOT NULL)
ORDER BY created_at LIMIT 20
"""


async def locked(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Plan]:
    """These plans, locked until the transaction ends; those that are not known are left out."""
    rows = await connection.fetch(_LOCKED, list(set(ids)))
    return {row["id"]: _plan(row) for row in rows}


async def locked_now(connection: Connection, ids: Iterable[UUID]) -> tuple[dict[UUID, Plan], datetime, int]:
    """These plans, as `locked`; the transaction's time; and the version a new plan begins with.

    A plan that was lost with a restore goes on above the version it had.
    """
    rows = await connection.fetch(_LOCKED_NOW, list(set(ids)))
    now, floor = rows[0]["now"], rows[0]["floor"]
    return {row["id"]: _plan(row) for row in rows if row["id"] is not None}, now, max(1, floor or 0)


async def save(connection: Connection, plans: Sequence[Plan], *, new: Collection[UUID] = ()) -> None:
    """Write what became of these plans, which are locked or new, and the moves they made."""
    changed = [plan for plan in plans if plan.id not in new]
    for plan in plans:
        if plan.id in new:
            await _add(connection, plan)
    if changed:
        await connection.executemany(_UPDATE, [(plan.id, *_values(plan, _CHANGED)) for plan in changed])
    moves = [(plan.id, *move) for plan in changed for move in _moves(plan)]
    if moves:
        await connection.executemany(_MOVED, moves)


async def _add(connection: Connection, plan: Plan) -> None:
    """Keep a new plan, in one statement with its moves: most plans come, and start, in one message."""
    columns = [list(column) for column in zip(*_moves(plan), strict=True)] or [[], [], [], [], []]
    if await connection.fetchval(_INSERT, *_values(plan, _COLUMNS), *columns) is None:
        raise asyncpg.SerializationError(f"plan {plan.id} came meanwhile, with another of its pages")


def _moves(plan: Plan) -> list[tuple[int, str, datetime, str | None, str]]:
    return [(move.version, str(move.state), move.at, move.actor, move.reason) for move in plan.moves]


async def moves(connection: Connection, plan_id: UUID) -> tuple[PlanTransition, ...]:
    """Every move of a plan, the first one first; the last ones, if they are too many for a message."""
    rows = await connection.fetch(_MOVES, plan_id, MAX_ITEMS)
    return tuple(PlanTransition.model_validate(dict(row)) for row in reversed(rows))


async def heard(connection: Connection, ids: Sequence[UUID], *, seconds: float, max_seconds: float) -> None:
    """The executor spoke of these plans: nothing has to be asked for a while."""
    await connection.execute(_HEARD, list(ids), seconds, max_seconds)


async def unheard(connection: Connection, *, most: int) -> list[UUID]:
    """Plans whose tasks nobody spoke of for too long, or that were not asked after for too long."""
    return [row["id"] for row in await connection.fetch(_DUE, most)]


async def unconfirmed(connection: Connection, *, seconds: float, most: int) -> list[UUID]:
    """Plans whose newest rules were said so long ago and are not confirmed."""
    return [row["id"] for row in await connection.fetch(_RULES_DUE, seconds, most)]


async def asked(connection: Connection, plan_id: UUID, *, seconds: float, max_seconds: float) -> None:
    """Ask again later, each time twice as late."""
    await connection.execute(_ASKED, plan_id, seconds, max_seconds)


async def unfinished(connection: Connection, *, window: int) -> list[UUID]:
    """Plans with something left to do for the planner itself: items to send, to cancel, or to copy."""
    return [row["id"] for row in await connection.fetch(_UNFINISHED, window)]


def _values(plan: Plan, columns: Sequence[str]) -> list[Any]:
    return [_encoded(name, getattr(plan, name)) for name in columns]


def _encoded(name: str, value: Any) -> Any:
    if name in ("frame", "rules", "counts"):
        return value.model_dump_json(exclude_defaults=True)
    if name == "awaited":
        return json.dumps([[str(one.operation_id), one.rules_version] for one in value]) if value else "[]"
    return str(value) if name == "state" else value


def _plan(row: Any) -> Plan:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    values["frame"] = _frame(row["frame"])
    values["rules"] = _rules(row["rules"])
    values["counts"] = Counts.model_validate_json(row["counts"])
    values["state"] = PlanState(row["state"])
    values["awaited"] = _awaited(row["awaited"])
    return Plan(**values)


def _awaited(text: str) -> tuple[Awaited, ...]:
    said: list[tuple[str, int]] = json.loads(text)
    return tuple(Awaited(UUID(operation), version) for operation, version in said)


@lru_cache(maxsize=1024)
def _frame(text: str) -> Frame:
    return Frame.model_validate_json(text)


@lru_cache(maxsize=1024)
def _rules(text: str) -> Rules:
    return Rules.model_validate_json(text)
