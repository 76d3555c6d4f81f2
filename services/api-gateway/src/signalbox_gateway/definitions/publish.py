"""Publishes definitions to `definitions.v1` in the order of their revisions, also after a loss."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.isolation import readable
from signalbox_contracts.definitions import KINDS
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionSnapshotData

SOURCE: Final = "signalbox/api-gateway"
COLUMNS: Final = "kind, id, revision, version, body, deleted, created_at, updated_at, updated_by"

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
SELECT k.id, k.revision AS known, d.body, d.deleted
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


def publish_snapshot(work: UnitOfWork, definition: Any, revision: int, at: datetime, *, deleted: bool = False) -> None:
    """Put the snapshot of a definition into the outbox."""
    data = DefinitionSnapshotData(
        kind=definition.kind, id=definition.id, revision=revision, definition=definition, deleted=deleted
    )
    subject = f"{definition.kind}:{definition.id}"
    work.publish(
        DefinitionSnapshot.of(
            data, subject=subject, source=SOURCE, time=at, aggregateversion=revision, project=definition.project
        )
    )


async def republish_newer(work: UnitOfWork, present: Mapping[str, int], *, at: datetime, before: datetime) -> int:
    """Publish definitions again whose revision is above the one on the topic. The caller holds `lock`.

    `present` maps `kind:id` to the newest revision on the topic. A definition changed since `before` may still be in
    the outbox: it is skipped. Returns how many were skipped.
    """
    rows = await work.connection.fetch(_PUBLISHED)
    missing = [row for row in rows if present.get(f"{row['kind']}:{row['id']}", 0) < row["revision"]]
    due = [row for row in missing if row["updated_at"] < before]
    read = readable(
        due, lambda row: (row, KINDS[row["kind"]].model_validate_json(row["body"])), part="republished definitions",
        name=lambda row: f"{row['kind']}:{row['id']}",
    )  # fmt: skip
    for row, definition in read:
        publish_snapshot(work, definition, row["revision"], at, deleted=row["deleted"])
    return len(missing) - len(due)


async def restate_engines(work: UnitOfWork, known: Mapping[str, int]) -> dict[str, int]:
    """Publish an engine's definition again when an executor has a revision that was never published here.

    `known` maps engines to the revisions that executors have. Returns those that were ahead: somebody else wrote them.
    """
    connection = work.connection
    if not await connection.fetchval(_AHEAD_ANY, list(known), list(known.values())):
        return {}
    await lock(connection)
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    ahead = await connection.fetch(_AHEAD, list(known), list(known.values()))
    for row in ahead:
        revision: int = await connection.fetchval(_NEXT_ABOVE, row["known"])
        await connection.execute(
            "UPDATE definition SET revision = $2 WHERE kind = 'engine' AND id = $1", row["id"], revision
        )
        publish_snapshot(work, KINDS["engine"].model_validate_json(row["body"]), revision, now, deleted=row["deleted"])
    return {row["id"]: row["known"] for row in ahead}


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
