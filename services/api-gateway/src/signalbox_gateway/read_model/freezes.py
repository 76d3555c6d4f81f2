"""What each freeze does now: whether it holds, since when and until when, and what runs and waits under it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.state_list import state_list
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.freeze import Freeze, freeze_windows, window_at
from signalbox_contracts.states import TASKS_HOLDING_A_SLOT, TaskState
from signalbox_gateway.identity.roles import ANY, Reach

SETTLED: Final = timedelta(seconds=5)
"""What was claimed a moment before a freeze is seen here a moment later: *drained* is not said before that."""
_NEXT_DAYS: Final = timedelta(days=366)
_FREEZES: Final = """
SELECT id, body::text AS body, created_at FROM definition
WHERE kind = 'freeze' AND NOT deleted AND ($1::text[] IS NULL OR id = ANY ($1)) ORDER BY id LIMIT 1000
"""
_TASKS: Final = f"""
SELECT t.engine, p.project, count(*) FILTER (WHERE t.state <> 'QUEUED')::int AS running,
       count(*) FILTER (WHERE t.state = 'QUEUED')::int AS waiting
FROM task t JOIN plan p ON p.id = t.plan_id
WHERE t.state IN {state_list({TaskState.QUEUED, *TASKS_HOLDING_A_SLOT})} GROUP BY 1, 2
"""  # noqa: S608
_USED: Final = f"""
SELECT d.project, r.to_id AS engine FROM definition d JOIN definition_reference r ON r.kind = d.kind AND r.id = d.id
WHERE r.to_kind = 'engine' AND d.kind IN ('job', 'pipeline') AND NOT d.deleted AND d.project = ANY ($1)
  AND r.to_id = ANY ($2)
UNION
SELECT p.project, t.engine FROM task t JOIN plan p ON p.id = t.plan_id
WHERE t.state IN {state_list({TaskState.QUEUED, *TASKS_HOLDING_A_SLOT})}
  AND p.project = ANY ($1) AND t.engine = ANY ($2)
"""  # noqa: S608


async def freeze_states(connection: Connection, ids: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """The state of these freezes, or of all, that can be read."""
    return {freeze.id: state for freeze, state in await _with_states(connection, ids)}


async def banners(connection: Connection) -> list[dict[str, Any]]:
    """The freezes that hold something now, with who made them and why."""
    return [
        {
            "id": one.id, "reason": one.reason, "author": one.author, "mode": one.mode, "engines": list(one.engines),
            "projects": list(one.projects), **state,
        }
        for one, state in await _with_states(connection, None)
        if state["active"]
    ]  # fmt: skip


async def active_for(connection: Connection, reach: Reach) -> list[dict[str, Any]]:
    """The freezes that hold work in the caller's reach now. Of what they name, only what is in reach is shown."""
    rows = await connection.fetch(_FREEZES, None)
    if not rows:
        return []
    now: datetime = await connection.fetchval("SELECT now()")

    def read(row: Row) -> tuple[Freeze, dict[str, Any]]:
        freeze = Freeze.model_validate_json(row["body"])
        return freeze, _state(freeze, row["created_at"], now, ())

    found = readable(rows, read, part="freezes", name=lambda row: row["id"])
    active = [(freeze, state) for freeze, state in found if state["active"]]
    named = sorted({engine for freeze, _ in active for engine in freeze.engines})
    projects = [project for project, engine in reach.places if engine == ANY]
    used: set[tuple[str, str]] = set()
    if named and projects:
        used = {(row["project"], row["engine"]) for row in await connection.fetch(_USED, projects, named)}
    shown = [
        {
            "reason": freeze.reason, "mode": freeze.mode, "since_at": state["since_at"], "until_at": state["until_at"],
            "engines": [name for name in freeze.engines if _reaches_engine(reach, name, used)],
            "projects": [name for name in freeze.projects if _reaches_project(reach, name)],
            "everything": not freeze.engines and not freeze.projects,
        }
        for freeze, state in active
    ]  # fmt: skip
    return [one for one in shown if one["everything"] or one["engines"] or one["projects"]]


def _reaches_project(reach: Reach, name: str) -> bool:
    return reach.everywhere or any(project in (ANY, name) for project, _ in reach.places)


def _reaches_engine(reach: Reach, name: str, used: set[tuple[str, str]]) -> bool:
    """Whether the caller is bound to the engine, or to a project that uses it."""
    return reach.everywhere or any(
        engine == name or (engine == ANY and (project, name) in used) for project, engine in reach.places
    )


async def _with_states(connection: Connection, ids: Sequence[str] | None) -> list[tuple[Freeze, dict[str, Any]]]:
    """These freezes, or all, with their states. One that cannot be read hides no other: it is left out and logged."""
    rows = await connection.fetch(_FREEZES, None if ids is None else list(ids))
    if not rows:
        return []
    now: datetime = await connection.fetchval("SELECT now()")
    tasks = await connection.fetch(_TASKS)

    def read(row: Row) -> tuple[Freeze, dict[str, Any]]:
        freeze = Freeze.model_validate_json(row["body"])
        return freeze, _state(freeze, row["created_at"], now, tasks)

    return readable(rows, read, part="freezes", name=lambda row: row["id"])


def _state(freeze: Freeze, created_at: datetime, now: datetime, tasks: Sequence[Row]) -> dict[str, Any]:
    window = window_at(freeze, now)
    mine = [
        row for row in tasks
        if (not freeze.engines or row["engine"] in freeze.engines)
        and (not freeze.projects or row["project"] in freeze.projects)
    ]  # fmt: skip
    running, waiting = sum(row["running"] for row in mine), sum(row["waiting"] for row in mine)
    state: dict[str, Any] = {"active": window is not None, "running": running, "waiting": waiting}
    if window is None:
        later = [one.from_at for one in freeze_windows(freeze, now, now + _NEXT_DAYS) if one.from_at > now]
        next_at = min(later, default=None)
        return {**state, "phase": "planned" if later else "ended", "since_at": None, "until_at": None,
                "next_at": next_at}  # fmt: skip
    since = window.from_at if freeze.calendar or freeze.starts_at else created_at
    phase = "holding"
    if freeze.mode == "drain":
        phase = "drained" if running == 0 and now - since >= SETTLED else "draining"
    return {**state, "phase": phase, "since_at": since, "until_at": window.until_at, "next_at": None}
