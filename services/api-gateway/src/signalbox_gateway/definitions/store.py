"""SQL of definitions: the present form, every version, and what each refers to."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import from_json

from signalbox_chassis.observability.logs import redact
from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions import KINDS, AnyDefinition
from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.problems import InvalidFields, Problem, problems_in
from signalbox_contracts.definitions.references import SECRET, references
from signalbox_gateway.definitions.publish import COLUMNS, publish_deletion, publish_snapshot

MAX_USERS: Final = 200
"""Most users one answer names."""
_SAVE: Final = """
INSERT INTO definition AS d (kind, id, revision, version, body, project, name, labels, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, version = excluded.version, body = excluded.body,
    project = excluded.project, name = excluded.name, labels = excluded.labels,
    created_at = CASE WHEN d.deleted THEN now() ELSE d.created_at END, deleted = false, updated_at = now(),
    updated_by = excluded.updated_by
"""
_SAVE_VERSION: Final = """
INSERT INTO definition_version (kind, id, version, revision, body, created_by, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_NEXT: Final = """
SELECT nextval('definition_revision') AS revision,
    coalesce((SELECT max(version) FROM definition_version WHERE kind = $1 AND id = $2), 0) + 1 AS version
"""
_FORGET_REFERENCES: Final = "DELETE FROM definition_reference WHERE kind = $1 AND id = $2"
_SAVE_REFERENCES: Final = """
INSERT INTO definition_reference (kind, id, to_kind, to_id)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[]) ON CONFLICT DO NOTHING
"""
_DELETE: Final = """
UPDATE definition SET deleted = true, revision = $3, updated_at = now(), updated_by = $4 WHERE kind = $1 AND id = $2
"""
_LIST: Final = f"""
SELECT {COLUMNS} FROM definition d WHERE kind = $1 AND id > $2 AND NOT deleted
  AND (cardinality($3::text[]) = 0 OR EXISTS (
      SELECT FROM definition_reference r WHERE r.kind = d.kind AND r.id = d.id AND r.to_kind = 'engine'
        AND r.to_id = ANY($3)))
  AND (cardinality($4::text[]) = 0 OR project = ANY($4)) AND labels @> $5::jsonb
  AND ($6 = '' OR position(lower($6) in lower(id || ' ' || name)) > 0)
  AND ($8::text[] IS NULL OR EXISTS (
      SELECT FROM unnest($8::text[], $9::text[]) AS place (project, engine)
      WHERE (place.project IN ('*', d.project)
          AND (place.engine = '*' OR place.engine IN (SELECT engines_of(d.kind, d.id))))
        OR (d.kind = 'engine' AND place.engine = d.id)))
ORDER BY id LIMIT $7
"""  # noqa: S608
_LOAD: Final = f"SELECT {COLUMNS} FROM definition WHERE kind = $1 AND id = ANY($2) AND NOT deleted"  # noqa: S608
_LOAD_NAMED: Final = f"""
SELECT {COLUMNS} FROM definition WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND NOT deleted
"""  # noqa: S608
_VERSIONS: Final = """
SELECT version, revision, body, created_at, created_by, reason FROM definition_version
WHERE kind = $1 AND id = $2 AND version < $3::bigint ORDER BY version DESC LIMIT $4
"""
_USERS: Final = """
SELECT kind || ':' || id AS name FROM definition_reference WHERE to_kind = $1 AND to_id = $2 ORDER BY 1 LIMIT $3
"""
_WRITTEN: Final = "SELECT kind, id, xmin::text AS writer FROM definition WHERE NOT deleted ORDER BY kind, id"
MAX_VERSION: Final = 2_147_483_647
MAX_ALLOWED_CHARACTERS: Final = 200


class DefinitionUnreadable(ValueError):
    """What is stored is no definition of its kind: a newer version wrote it, or it is damaged.

    `version` is the older version that is meant; None for the present form. `problems` have no values: they may be
    secret.
    """

    def __init__(
        self, kind: str, id: str, revision: int, problems: tuple[Problem, ...], *, version: int | None = None
    ) -> None:
        which = f"revision {revision}" if version is None else f"version {version}"
        first, *others = problems
        more = f", and {len(others)} more" if others else ""
        super().__init__(f"{kind} {id}, {which}, cannot be read: {first}{more}")
        self.kind = kind
        self.id = id
        self.revision = revision
        self.version = version
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Saved:
    """A definition with what the gateway knows about it."""

    definition: AnyDefinition
    revision: int
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str

    def as_answer(self) -> dict[str, Any]:
        """The definition as the API returns it."""
        return {
            **self.definition.model_dump(mode="json"), "version": self.version, "revision": self.revision,
            "created_at": self.created_at, "updated_at": self.updated_at, "updated_by": self.updated_by,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stored:
    """The row of a definition: what is known of it also where its body cannot be read."""

    kind: str
    id: str
    project: str
    body: str
    revision: int
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str

    def read(self) -> Saved:
        """The definition. Raises `DefinitionUnreadable`."""
        return self.of(_parse(self.kind, self.id, self.revision, self.body), self.version)

    def read_if_possible(self) -> Saved | None:
        """The definition; None where it cannot be read."""
        try:
            return self.read()
        except DefinitionUnreadable:
            return None

    def of(self, definition: Any, version: int) -> Saved:
        """One of its versions."""
        return Saved(definition, self.revision, version, self.created_at, self.updated_at, self.updated_by)

    def as_answer(self) -> dict[str, Any]:
        """The definition as the API returns it; only what the row has where it cannot be read."""
        saved = self.read_if_possible()
        if saved is not None:
            return saved.as_answer()
        return {
            "kind": self.kind, "id": self.id, "project": self.project, "version": self.version,
            "revision": self.revision, "updated_at": self.updated_at, "updated_by": self.updated_by,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionFilter:
    """Which definitions. Several values of one field mean any of them, but all `labels` must match."""

    project: Sequence[str] = ()
    label: Sequence[str] = ()
    """`key:value`."""
    q: str = ""
    """Part of the id or the name."""
    engine: Sequence[str] = ()
    """Definitions that refer to one of these engines."""
    visible: tuple[list[str], list[str]] | None = None
    """Projects and engines in pairs, `*` for any: only what is in one of these places."""


async def find(connection: Connection, kind: str, id: str) -> Stored | None:
    """The present row, also of a definition that cannot be read; None when there is none or it is deleted."""
    return (await find_all(connection, kind, [id])).get(id)


async def find_all(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Stored]:
    """The present rows of these ids, those that exist."""
    return {row["id"]: _stored(row) for row in await connection.fetch(_LOAD, kind, list(ids))}


async def find_named(connection: Connection, names: Sequence[tuple[str, str]]) -> list[Stored]:
    """The present rows of these kinds and ids, those that exist."""
    kinds, ids = [kind for kind, _ in names], [id for _, id in names]
    return [_stored(row) for row in await connection.fetch(_LOAD_NAMED, kinds, ids)]


async def load(connection: Connection, kind: str, id: str) -> Saved | None:
    """The present form; None when there is none or it is deleted. Raises `DefinitionUnreadable`."""
    return (await load_all(connection, kind, [id])).get(id)


async def load_all(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Saved]:
    """The present forms of these ids, those that exist. Raises `DefinitionUnreadable`."""
    return {id: stored.read() for id, stored in (await find_all(connection, kind, ids)).items()}


async def load_readable(connection: Connection, kind: str, ids: Sequence[str]) -> dict[str, Saved]:
    """The present forms of these ids, those that exist and can be read: for lists."""
    return {one.definition.id: one for one in _readable(await connection.fetch(_LOAD, kind, list(ids)))}


async def list_definitions(
    connection: Connection, kind: str, wanted: DefinitionFilter | None = None, *, limit: int, after: str = ""
) -> list[Saved]:
    """Definitions of one kind by id, those after `after` that can be read."""
    return (await load_page(connection, kind, wanted, limit=limit, after=after))[0]


async def load_page(
    connection: Connection, kind: str, wanted: DefinitionFilter | None = None, *, limit: int, after: str = ""
) -> tuple[list[Saved], str | None]:
    """One page of definitions by id, and the id it ends with; None for the last page.

    A definition that cannot be read is left out and logged, so a page may have fewer than `limit`.
    """
    wanted = wanted or DefinitionFilter()
    labels = {key: value for key, _, value in (label.partition(":") for label in wanted.label)}
    rows = await connection.fetch(
        _LIST, kind, after, list(wanted.engine), list(wanted.project), json.dumps(labels), wanted.q, limit + 1,
        *(wanted.visible or (None, None)),
    )  # fmt: skip
    return _readable(rows[:limit]), rows[limit - 1]["id"] if len(rows) > limit else None


async def save(work: UnitOfWork, definition: Any, *, actor: str, at: datetime, reason: str = "") -> Saved:
    """Write the next version with its author and reason, and publish it. The caller holds `publish.lock`."""
    connection, kind, id = work.connection, definition.kind, definition.id
    row = await connection.fetchrow(_NEXT, kind, id)
    assert row is not None
    revision, version = row["revision"], row["version"]
    if "version" in type(definition).model_fields:
        definition = definition.model_copy(update={"version": version})
    body = definition.model_dump_json()
    await connection.execute(
        _SAVE, kind, id, revision, version, body, definition.project, definition.name, json.dumps(definition.labels),
        actor,
    )  # fmt: skip
    await connection.execute(_SAVE_VERSION, kind, id, version, revision, body, actor, reason)
    await _save_references(connection, definition)
    publish_snapshot(work, definition, revision, at)
    saved = await load(connection, kind, id)
    assert saved is not None
    return saved


async def delete(work: UnitOfWork, stored: Stored, *, actor: str, at: datetime) -> None:
    """Mark a definition deleted and publish that; its versions stay. The caller holds `publish.lock`."""
    saved = stored.read_if_possible()
    revision: int = await work.connection.fetchval("SELECT nextval('definition_revision')")
    await work.connection.execute(_DELETE, stored.kind, stored.id, revision, actor)
    await work.connection.execute(_FORGET_REFERENCES, stored.kind, stored.id)
    publish_deletion(
        work, stored.kind, stored.id, saved.definition if saved else None, revision, at, project=stored.project
    )


async def list_versions(
    connection: Connection, kind: str, id: str, *, limit: int, before: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """One page of the versions below `before`, newest first, each with its author and reason; and the version it ends
    with, None for the last page.

    A version that cannot be read is left out and logged, so a page may have fewer than `limit`.
    """

    def shown(row: Row) -> dict[str, Any]:
        _parse(kind, id, row["revision"], row["body"], version=row["version"])
        return {
            **from_json(row["body"]), "version": row["version"], "revision": row["revision"],
            "created_at": row["created_at"], "created_by": row["created_by"], "reason": row["reason"],
        }  # fmt: skip

    rows = await connection.fetch(_VERSIONS, kind, id, MAX_VERSION if before is None else before, limit + 1)
    found = readable(rows[:limit], shown, part="definition versions", name=lambda row: f"{kind}:{id}@{row['version']}")
    return found, rows[limit - 1]["version"] if len(rows) > limit else None


async def load_version(connection: Connection, kind: str, id: str, version: int) -> Any:
    """One version of a definition, also of a deleted one; None when there is none. Raises `DefinitionUnreadable`."""
    row = await connection.fetchrow(
        "SELECT body, revision FROM definition_version WHERE kind = $1 AND id = $2 AND version = $3", kind, id, version
    )
    return None if row is None else _parse(kind, id, row["revision"], row["body"], version=version)


async def writers(connection: Connection) -> dict[tuple[str, str], str]:
    """Which transaction wrote each definition last, by kind and id: another one for every change, also by hand."""
    return {(row["kind"], row["id"]): row["writer"] for row in await connection.fetch(_WRITTEN)}


async def users_of(connection: Connection, kind: str, id: str) -> list[str]:
    """The definitions that refer to this one, as `kind:id`; `MAX_USERS` at most."""
    return [row["name"] for row in await connection.fetch(_USERS, kind, id, MAX_USERS)]


async def users_of_secret(connection: Connection, name: str) -> list[str]:
    """The definitions that name this secret, as `kind:id`."""
    return await users_of(connection, SECRET, name)


async def trigger_sources(connection: Connection) -> list[tuple[str, ...]]:
    """The source patterns of each trigger; empty where it looks at every source, or cannot be read."""
    rows = await connection.fetch(
        "SELECT (json_or_null(body) -> 'match' -> 'sources')::text AS sources FROM definition"
        " WHERE kind = 'trigger' AND NOT deleted"
    )
    return [_texts(from_json(row["sources"])) if row["sources"] else () for row in rows]


async def projects(connection: Connection) -> list[str]:
    """The projects that definitions belong to."""
    rows = await connection.fetch("SELECT DISTINCT project FROM definition WHERE NOT deleted ORDER BY 1 LIMIT 10000")
    return [row["project"] for row in rows]


async def engines_revision(connection: Connection) -> int:
    """The newest revision among all engines; 0 when there is none."""
    return await connection.fetchval("SELECT coalesce(max(revision), 0) FROM definition WHERE kind = 'engine'")


async def _save_references(connection: Connection, definition: Definition) -> None:
    kind, id = str(getattr(definition, "kind", "")), definition.id
    targets = sorted({(target.kind, target.id) for target in references(definition)})
    await connection.execute(_FORGET_REFERENCES, kind, id)
    if targets:
        await connection.execute(_SAVE_REFERENCES, kind, id, *map(list, zip(*targets, strict=True)))


def _texts(value: Any) -> tuple[str, ...]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return tuple(found) if all(isinstance(one, str) for one in found) else ()


def _readable(rows: Sequence[Row]) -> list[Saved]:
    return readable(rows, _saved, part="definitions", name=lambda row: f"{row['kind']}:{row['id']}")


def _saved(row: Row) -> Saved:
    return _stored(row).read()


def _stored(row: Row) -> Stored:
    return Stored(
        row["kind"], row["id"], row["project"], row["body"], row["revision"], row["version"], row["created_at"],
        row["updated_at"], row["updated_by"],
    )  # fmt: skip


def _parse(kind: str, id: str, revision: int, body: str, *, version: int | None = None) -> Any:
    """The definition of a body. Raises `DefinitionUnreadable`."""
    try:
        definition = KINDS[kind].model_validate_json(body)
        if definition.id != id:
            raise InvalidFields([("id", f"is stored as {id}")])
    except ValidationError as error:
        problems = tuple(
            Problem(one.field, None, redact(one.allowed)[:MAX_ALLOWED_CHARACTERS])
            for one in problems_in(error, values=False)
        )
    except InvalidFields as error:
        problems = tuple(Problem(field, None, allowed) for field, allowed in error.found)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        problems = (Problem("definition", None, f"cannot be read: {type(error).__name__}"),)
    else:
        return definition
    raise DefinitionUnreadable(kind, id, revision, problems, version=version)
