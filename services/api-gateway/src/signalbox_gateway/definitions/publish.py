"""Publishes definitions to `definitions.v1` in the order of their revisions, also after a loss."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions import KINDS
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData

SOURCE: Final = "signalbox/api-gateway"
COLUMNS: Final = "kind, id, revision, version, body, project, deleted, created_at, updated_at, updated_by"

# INVARIANT revisions are made, written to the outbox and committed in one order: the lock is held until the commit.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('definitions ' || current_schema(), 0))"
_PUBLISHED: Final = f"""
SELECT {COLUMNS} FROM definition WHERE NOT deleted OR updated_at > now() - interval '30 days' ORDER BY revision
"""  # noqa: S608
_RENUMBER: Final = """
UPDATE definition d SET revision = n.revision
FROM (SELECT kind, id, nextval('definition_revision') AS revision
      FROM (SELECT kind, id FROM definition ORDER BY revision) o) n WHERE (d.kind, d.id) = (n.kind, n.id)
"""

# A revision is written and put into the outbox in one transaction: no reader can have one that is not here.
_AHEAD: Final = """
SELECT k.id, k.revision AS known, d.kind, d.body, d.project, d.deleted
FROM unnest($1::text[], $2::bigint[]) AS k (id, revision) JOIN definition d ON d.kind = 'engine' AND d.id = k.id
WHERE d.revision < k.revision ORDER BY k.id
"""
_AHEAD_ANY: Final = f"SELECT EXISTS ({_AHEAD})"
_NEXT_ABOVE: Final = """
SELECT setval('definition_revision', greatest(nextval('definition_revision'), checked_version(last_value, $1) + 1))
FROM definition_revision
"""


async def lock(connection: Connection) -> None:
    """Keep other transactions from changing definitions until this one ends. Take it before any read for a change."""
    await connection.execute(_LOCK)


def publish_snapshot(work: UnitOfWork, definition: Any, revision: int, at: datetime) -> None:
    """Put the snapshot of a definition into the outbox."""
    kind, id = definition.kind, definition.id
    data = DefinitionSnapshotData(kind=kind, id=id, revision=revision, definition=definition)
    _publish(work, data, at, definition.project)


def publish_deletion(
    work: UnitOfWork, kind: str, id: str, last: Any, revision: int, at: datetime, *, project: str
) -> None:
    """Put into the outbox that a definition is gone. `last` is its last form; None where that cannot be read."""
    data = DefinitionSnapshotData(kind=kind, id=id, revision=revision, definition=last, deleted=True)
    _publish(work, data, at, project)


async def republish_newer(work: UnitOfWork, present: Mapping[str, int], *, at: datetime, before: datetime) -> int:
    """Publish definitions again whose revision is above the one on the topic. The caller holds `lock`.

    `present` maps `kind:id` to the newest revision on the topic. A definition changed since `before` may still be in
    the outbox: it is skipped. Returns how many were skipped.
    """
    rows = await work.connection.fetch(_PUBLISHED)
    missing = [row for row in rows if present.get(f"{row['kind']}:{row['id']}", 0) < row["revision"]]
    due = [row for row in missing if row["updated_at"] < before]
    for row, definition in _readable(due):
        _publish_row(work, row, definition, row["revision"], at)
    return len(missing) - len(due)


async def restate_engines(work: UnitOfWork, known: Mapping[str, int]) -> dict[str, int]:
    """Publish an engine's definition again when an executor has a revision that was never published here.

    `known` maps engines to the revisions that executors have. Returns those that were ahead: somebody else wrote them.
    An engine that cannot be read is left out and logged.
    """
    connection = work.connection
    if not await connection.fetchval(_AHEAD_ANY, list(known), list(known.values())):
        return {}
    await lock(connection)
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    ahead = _readable(await connection.fetch(_AHEAD, list(known), list(known.values())))
    for row, definition in ahead:
        revision: int = await connection.fetchval(_NEXT_ABOVE, row["known"])
        await connection.execute(
            "UPDATE definition SET revision = $2 WHERE kind = 'engine' AND id = $1", row["id"], revision
        )
        _publish_row(work, row, definition, revision, now)
    return {row["id"]: row["known"] for row, _ in ahead}


async def after_restore(work: UnitOfWork, floor: int) -> None:
    """Renumber every definition above `floor` and publish all: the database was restored to an older state."""
    connection = work.connection
    await lock(connection)
    await connection.execute(
        "SELECT setval('definition_revision', greatest(last_value, $1)) FROM definition_revision", floor
    )
    await connection.execute(_RENUMBER, timeout=100)
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    await republish_newer(work, {}, at=now, before=now)


def _readable(rows: Sequence[Row]) -> list[tuple[Row, Any]]:
    """The rows with their definitions; None for a deleted one that cannot be read: it is gone all the same."""

    def read(row: Row) -> tuple[Row, Any]:
        try:
            return row, KINDS[row["kind"]].model_validate_json(row["body"])
        except ValueError:
            if row["deleted"]:
                return row, None
            raise

    return readable(rows, read, part="republished definitions", name=lambda row: f"{row['kind']}:{row['id']}")


def _publish_row(work: UnitOfWork, row: Row, definition: Any, revision: int, at: datetime) -> None:
    if row["deleted"]:
        publish_deletion(work, row["kind"], row["id"], definition, revision, at, project=row["project"])
    else:
        publish_snapshot(work, definition, revision, at)


def _publish(work: UnitOfWork, data: DefinitionSnapshotData, at: datetime, project: str) -> None:
    subject, revision = f"{data.kind}:{data.id}", data.revision
    work.publish(
        DefinitionSnapshot.of(data, subject=subject, source=SOURCE, time=at, aggregateversion=revision, project=project)
    )
