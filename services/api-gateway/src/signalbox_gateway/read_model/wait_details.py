"""What the gateway itself knows of an engine that something waits for: who closed it, since when it does not answer.

The executor says the reason; who changed a definition, and what an engine said last, is known here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from signalbox_chassis.persistence.connection import Connection
from signalbox_gateway.read_model import queries, wait_reasons

Waiting = Mapping[str, Any]
_ENGINE: Final = "engine:"
# The first of the versions that closed it, each in a row: a change of its limits meanwhile closed nothing.
_CLOSED: Final = """
SELECT DISTINCT ON (v.id) v.id, v.created_by, v.created_at, v.reason FROM definition_version v
LEFT JOIN definition_version o ON o.kind = v.kind AND o.id = v.id AND o.version = v.version - 1
WHERE v.kind = 'engine' AND v.id = ANY ($1) AND json_or_null(v.body) ->> 'intake' <> 'open'
  AND COALESCE(json_or_null(o.body) ->> 'intake', 'open') = 'open'
ORDER BY v.id, v.version DESC
"""
_HOSTS: Final = """
SELECT id, json_or_null(body) -> 'connection' ->> 'host_id' AS host FROM definition
WHERE kind = 'engine' AND id = ANY ($1) AND NOT deleted
"""


async def of_plan(connection: Connection, seen: dict[str, Any]) -> dict[str, Any]:
    """A plan as shown, its reasons to wait with what is known here."""
    waiting = _together(await _more(connection, seen["waiting"]))
    return {**seen, "waiting": [wait_reasons.describe(one, plan=seen["id"], tasks=one.get("tasks")) for one in waiting]}


async def of_task(connection: Connection, seen: dict[str, Any]) -> dict[str, Any]:
    """The same of a task."""
    if not seen["waiting"]:
        return seen
    [one] = await _more(connection, [seen["waiting"]])
    return {**seen, "waiting": wait_reasons.describe(one, plan=seen["plan_id"], engine=seen["engine"], task=seen["id"])}


def _together(waiting: Sequence[Waiting]) -> list[Waiting]:
    """One reason a holder: the tasks of two engines that wait for one limit say so once."""
    found: dict[tuple[str, str], Waiting] = {}
    for one in waiting:
        same = found.get((one["why"], one["holder"]))
        if same is None or "tasks" not in one or "tasks" not in same:
            found[one["why"], one["holder"]] = same or one
        else:
            since = min(same["since_at"], one["since_at"])
            found[one["why"], one["holder"]] = {**same, "since_at": since, "tasks": same["tasks"] + one["tasks"]}
    return list(found.values())


async def _more(connection: Connection, waiting: Sequence[Waiting]) -> list[Waiting]:
    engines: dict[str, set[str]] = {}
    for one in waiting:
        if one["holder"].startswith(_ENGINE):
            engines.setdefault(one["why"], set()).add(one["holder"].removeprefix(_ENGINE))
    known: dict[tuple[str, str], dict[str, Any]] = {}
    if paused := engines.get("engine_paused"):
        known |= await _closed(connection, sorted(paused))
    if silent := engines.get("breaker_open"):
        known |= await _silent(connection, sorted(silent))
    if far := engines.get("engine_unreachable"):
        known |= await _far(connection, sorted(far))
    return [_joined(one, known.get((one["why"], one["holder"].removeprefix(_ENGINE)), {})) for one in waiting]


def _joined(one: Waiting, known: Waiting) -> Waiting:
    detail, more = one["detail"], known.get("detail", "")
    if not more.startswith(detail):  # an adapter's error may begin with the same words
        more = f"{detail}: {more}" if more else detail
    return {**one, "detail": more, "since_at": known.get("since_at") or one["since_at"]}


Known = dict[tuple[str, str], dict[str, Any]]


async def _closed(connection: Connection, ids: list[str]) -> Known:
    rows = await connection.fetch(_CLOSED, ids)
    return {
        ("engine_paused", row["id"]): {
            "detail": f"by {row['created_by']}: {row['reason']}" if row["reason"] else f"by {row['created_by']}",
            "since_at": row["created_at"].isoformat().replace("+00:00", "Z"),
        }
        for row in rows
    }


async def _silent(connection: Connection, ids: list[str]) -> Known:
    states = cast("Mapping[str, Any]", await queries.engine_states(connection, ids))
    return {
        ("breaker_open", id): {"detail": state.get("last_error") or "", "since_at": state.get("breaker_since_at")}
        for id, state in states.items()
        if state.get("breaker") == "open"
    }


async def _far(connection: Connection, ids: list[str]) -> Known:
    """Processes belong to one host: only an executor there can reach them."""
    rows = await connection.fetch(_HOSTS, ids)
    return {("engine_unreachable", row["id"]): {"detail": f"its host is {row['host']}"} for row in rows if row["host"]}
