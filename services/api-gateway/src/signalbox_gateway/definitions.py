"""Definitions: kept here with every version, sent to all services in the order of their revisions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData

SOURCE: Final = "signalbox/api-gateway"
Kept = Engine | Job

# INVARIANT revisions are made, written to the outbox and committed in one order: the lock is held until the commit.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('definitions ' || current_schema(), 0))"
_COLUMNS: Final = "kind, id, revision, version, body, deleted, created_at, updated_at, updated_by"
_SAVE: Final = """
INSERT INTO definition AS d (kind, id, revision, version, body, project, name, labels, engine, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, version = excluded.version, body = excluded.body,
    project = excluded.project, name = excluded.name, labels = excluded.labels, engine = excluded.engine,
    created_at = CASE WHEN d.deleted THEN now() ELSE d.created_at END, deleted = false, updated_at = now(),
    updated_by = excluded.updated_by
"""
_KEEP_VERSION: Final = """
INSERT INTO definition_version (kind, id, version, revision, body, created_by, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DELETE: Final = """
UPDATE definition SET deleted = true, revision = $3, updated_at = now(), updated_by = $4 WHERE kind = $1 AND id = $2
"""
_VERSIONS: Final = """
SELECT version, revision, body, created_at, created_by, reason FROM definition_version
WHERE kind = $1 AND id = $2 ORDER BY version DESC
"""
_USERS: Final = """
SELECT 'job:' || id AS who FROM definition WHERE engine = $1 AND NOT deleted
UNION
SELECT 'plan:' || p.id FROM plan p
WHERE p.state NOT IN ('SUCCEEDED', 'COMPLETED_WITH_ERRORS', 'FAILED', 'CANCELLED', 'REFUSED')
  AND EXISTS (SELECT FROM task t WHERE t.plan_id = p.id AND t.engine = $1)
LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A definition with what the gateway knows about it."""

    definition: Kept
    revision: int
    version: int
    deleted: bool
    created_at: datetime
    updated_at: datetime
    updated_by: str

    def shown(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            **self.definition.model_dump(mode="json"), "revision": self.revision, "created_at": self.created_at,
            "updated_at": self.updated_at, "updated_by": self.updated_by,
        }  # fmt: skip


async def lock(connection: Connection) -> None:
    """Nobody else changes a definition until this transaction ends. Taken before anything is read for a change."""
    await connection.execute(_LOCK)


async def load(connection: Connection, kind: str, id: str) -> Saved | None:
    """The present form, unless it is deleted."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM definition WHERE kind = $1 AND id = $2 AND NOT deleted", kind, id  # noqa: S608
    )  # fmt: skip
    return _saved(row) if row else None


async def load_all(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Saved]:
    """Those of these that are there."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM definition WHERE kind = $1 AND id = ANY($2) AND NOT deleted", kind, list(ids)  # noqa: S608
    )  # fmt: skip
    return {row["id"]: _saved(row) for row in rows}


async def listed(
    connection: Connection,
    kind: str,
    *,
    limit: int,
    after: str = "",
    engine: Sequence[str] = (),
    project: Sequence[str] = (),
    label: Sequence[str] = (),
    q: str = "",
) -> list[Saved]:
    """Definitions by id. `label` is `key:value`, all of them; `q` is part of the id or the name."""
    labels = {key: value for key, _, value in (one.partition(":") for one in label)}
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM definition WHERE kind = $1 AND id > $2 AND NOT deleted "  # noqa: S608
        "AND (cardinality($3::text[]) = 0 OR engine = ANY($3)) AND (cardinality($4::text[]) = 0 OR project = ANY($4)) "
        "AND labels @> $5::jsonb AND ($6 = '' OR position(lower($6) in lower(id || ' ' || name)) > 0) "
        "ORDER BY id LIMIT $7",
        kind, after, list(engine), list(project), _json(labels), q, limit,
    )  # fmt: skip
    return [_saved(row) for row in rows]


async def save(work: UnitOfWork, definition: Kept, *, actor: str, at: datetime, reason: str = "") -> Saved:
    """Write the next version, with who made it and why, and tell everybody. The lock must be held."""
    connection = work.connection
    row = await connection.fetchrow(
        "SELECT nextval('definition_revision') AS revision, coalesce((SELECT max(version) FROM definition_version "
        "WHERE kind = $1 AND id = $2), 0) + 1 AS version", definition.kind, definition.id,
    )  # fmt: skip
    assert row is not None
    revision, version = row["revision"], row["version"]
    if isinstance(definition, Job):
        definition = definition.model_copy(update={"version": version})
    body = definition.model_dump_json()
    engine = definition.engine if isinstance(definition, Job) else None
    await connection.execute(
        _SAVE, definition.kind, definition.id, revision, version, body, definition.project, definition.name,
        _json(definition.labels), engine, actor,
    )  # fmt: skip
    await connection.execute(_KEEP_VERSION, definition.kind, definition.id, version, revision, body, actor, reason)
    _tell(work, definition, revision, at)
    saved = await load(connection, definition.kind, definition.id)
    assert saved is not None
    return saved


async def delete(work: UnitOfWork, saved: Saved, *, actor: str, at: datetime) -> None:
    """It is gone; its history stays. The lock must be held."""
    definition = saved.definition
    revision: int = await work.connection.fetchval("SELECT nextval('definition_revision')")
    await work.connection.execute(_DELETE, definition.kind, definition.id, revision, actor)
    _tell(work, definition, revision, at, deleted=True)


async def versions(connection: Connection, kind: str, id: str) -> list[dict[str, Any]]:
    """Every version, the newest first."""
    return [
        {
            **from_json(row["body"]), "revision": row["revision"], "created_at": row["created_at"],
            "created_by": row["created_by"], "reason": row["reason"],
        }
        for row in await connection.fetch(_VERSIONS, kind, id)
    ]  # fmt: skip


async def version(connection: Connection, id: str, number: int) -> Job | None:
    """One version of a job, also of one that has changed since."""
    body = await connection.fetchval(
        "SELECT body FROM definition_version WHERE kind = 'job' AND id = $1 AND version = $2", id, number
    )
    return Job.model_validate_json(body) if body else None


async def users_of_engine(connection: Connection, id: str) -> list[str]:
    """What still uses an engine, as `job:<id>` and `plan:<id>`; 20 at most."""
    return sorted(row["who"] for row in await connection.fetch(_USERS, id))


async def users_of_secret(connection: Connection, name: str) -> list[str]:
    """Definitions that name this secret, as `kind:id`."""
    rows = await connection.fetch(
        "SELECT kind || ':' || id AS who FROM definition WHERE NOT deleted AND body ~ $1 LIMIT 20",
        f"secret://{name.replace('.', '[.]')}($|[^A-Za-z0-9._-])",
    )
    return sorted(row["who"] for row in rows)


async def tell_newer(work: UnitOfWork, there: Mapping[str, int], *, at: datetime, before: datetime) -> int:
    """Say those again whose revision is newer than what is there (`kind:id` → revision). Lock held.

    Those changed since `before` may be on their way and are left alone; how many of them there are.
    """
    rows = await work.connection.fetch(
        f"SELECT {_COLUMNS} FROM definition WHERE NOT deleted OR updated_at > now() - interval '30 days' "  # noqa: S608
        "ORDER BY revision"
    )
    missing = [row for row in rows if there.get(f"{row['kind']}:{row['id']}", 0) < row["revision"]]
    due = [row for row in missing if row["updated_at"] < before]
    for row in due:
        _tell(work, _saved(row).definition, row["revision"], at, deleted=row["deleted"])
    return len(missing) - len(due)


async def after_restore(work: UnitOfWork, floor: int) -> None:
    """This database was restored: revisions go on above all that were ever said, and readers get what is here now."""
    connection = work.connection
    await lock(connection)
    await connection.execute(
        "SELECT setval('definition_revision', greatest(last_value, $1)) FROM definition_revision", floor
    )
    await connection.execute(
        "UPDATE definition d SET revision = n.revision "
        "FROM (SELECT kind, id, nextval('definition_revision') AS revision "
        "      FROM (SELECT kind, id FROM definition ORDER BY revision) o) n WHERE (d.kind, d.id) = (n.kind, n.id)",
        timeout=100,
    )
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    await tell_newer(work, {}, at=now, before=now)


def _tell(work: UnitOfWork, definition: Kept, revision: int, at: datetime, *, deleted: bool = False) -> None:
    data = DefinitionSnapshotData(
        kind=definition.kind, id=definition.id, revision=revision, definition=definition, deleted=deleted
    )
    subject = f"{definition.kind}:{definition.id}"
    work.publish(
        DefinitionSnapshot.of(
            data, subject=subject, source=SOURCE, time=at, aggregateversion=revision, project=definition.project
        )
    )


def _saved(row: Row) -> Saved:
    model = Engine if row["kind"] == "engine" else Job
    return Saved(
        model.model_validate_json(row["body"]), row["revision"], row["version"], row["deleted"], row["created_at"],
        row["updated_at"], row["updated_by"],
    )  # fmt: skip


def _json(labels: dict[str, str]) -> str:
    return json.dumps(labels)
