"""What the planner keeps of the definitions: the versions of jobs and pipelines, triggers, engines, freezes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from pydantic import TypeAdapter

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions.definition import Definition
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.messages.definitions import DefinitionSnapshotData
from signalbox_planner.starts import Target, resolve_target

D = TypeVar("D", bound=Definition)
_TARGET: TypeAdapter[Job | Pipeline] = TypeAdapter(Job | Pipeline)
# A job or pipeline is kept in every version that was seen; any other kind once, as version 0.
_DEFINE = """
INSERT INTO definition AS d (kind, id, version, revision, definition, deleted) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (kind, id, version) DO UPDATE
SET revision = excluded.revision, definition = excluded.definition, deleted = excluded.deleted
WHERE d.revision < excluded.revision
"""
_DELETE = "UPDATE definition SET deleted = true, revision = $3 WHERE kind = $1 AND id = $2 AND revision < $3"
_TARGET_OF = """
SELECT definition, deleted FROM definition
WHERE kind = $1 AND id = $2 AND ($3::bigint IS NULL OR version = $3) ORDER BY revision DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class KnownTrigger:
    """A trigger and the revision it has."""

    trigger: Trigger
    revision: int


async def define(connection: Connection, data: DefinitionSnapshotData) -> None:
    """Keep a snapshot of a job, pipeline, trigger, engine or freeze. An older revision changes nothing."""
    definition = data.definition
    if data.deleted:
        await connection.execute(_DELETE, data.kind, data.id, data.revision)
    elif definition is not None:
        version = definition.version if isinstance(definition, Job | Pipeline) else 0
        await connection.execute(
            _DEFINE, data.kind, data.id, version, data.revision, definition.model_dump_json(), data.deleted
        )


async def target(connection: Connection, of: Schedule | Trigger) -> Target:
    """The job or pipeline a schedule or trigger starts, with engines; or why it cannot start."""
    row = await connection.fetchrow(_TARGET_OF, of.target.kind, of.target.id, of.target.version)
    definition = None if row is None or row["deleted"] else _TARGET.validate_json(row["definition"])
    engines = await connection.fetch("SELECT id, definition FROM definition WHERE kind = 'engine' AND NOT deleted")
    known = readable(
        engines, lambda row: Engine.model_validate_json(row["definition"]), part="engine definitions",
        name=lambda row: row["id"],
    )  # fmt: skip
    return resolve_target(of, definition, known)


async def triggers(connection: Connection) -> Sequence[KnownTrigger]:
    """Every trigger there is."""
    return [KnownTrigger(one, revision) for one, revision in await _all(connection, Trigger, "trigger")]


async def freezes(connection: Connection) -> Sequence[Freeze]:
    """Every freeze that was not lifted; whether it holds now is for the caller to see."""
    return [one for one, _ in await _all(connection, Freeze, "freeze")]


async def _all(connection: Connection, model: type[D], kind: str) -> list[tuple[D, int]]:
    """Every definition of a kind that can be read. A form that was read before is not read again: every batch asks."""
    rows = await connection.fetch(
        "SELECT id, revision, definition FROM definition WHERE kind = $1 AND NOT deleted ORDER BY id", kind
    )
    return readable(
        rows, lambda row: (_read(model, row["definition"]), row["revision"]), part=f"{kind} definitions",
        name=lambda row: row["id"],
    )  # fmt: skip


@lru_cache(maxsize=10_000)
def _read(model: type[D], text: str) -> D:
    return model.model_validate_json(text)
