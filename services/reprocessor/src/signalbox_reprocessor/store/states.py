"""What is published of jobs: their rows, workers, first failures."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row

# INVARIANT a job's state is made by one reprocessor at a time, so its versions tell which is newer.
_DUE: Final = """
SELECT * FROM job WHERE (status IN ('pending', 'running') OR unpublished)
  AND (unpublished OR looked_at < now() - interval '0.5 seconds')
ORDER BY looked_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""
_WORKERS: Final = "SELECT * FROM worker WHERE job_id = ANY($1) ORDER BY job_id, worker_index"
_FAILURES: Final = """
SELECT path, line, byte_offset, error FROM file WHERE job_id = $1 AND status = 'failed' ORDER BY file_index LIMIT 20
"""
_FAILED: Final = "SELECT count(*)::int FROM file WHERE job_id = $1 AND status = 'failed'"
_BAD_LINES: Final = """
SELECT f.path, b.line, b.byte_offset, b.reason, b.sample FROM bad_line b JOIN file f USING (job_id, file_index)
WHERE b.job_id = $1 ORDER BY b.file_index, b.line LIMIT 20
"""
_START: Final = "UPDATE job SET status = 'running', started_at = $2 WHERE id = $1 AND status = 'pending'"
_PUBLISHED: Final = """
UPDATE job SET version = $2, published_record = $3, unpublished = false, looked_at = now() WHERE id = $1
"""
_LOOKED_AT: Final = "UPDATE job SET unpublished = false, looked_at = now() WHERE id = $1"


async def due(connection: Connection) -> list[Row]:
    """Jobs whose state may have changed, the one that was looked at longest ago first."""
    return await connection.fetch(_DUE)


async def workers(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = {}
    for row in await connection.fetch(_WORKERS, list(ids)):
        found.setdefault(row["job_id"], []).append(row)
    return found


async def failures(connection: Connection, job_id: UUID) -> tuple[int, list[dict[str, Any]]]:
    """How many files failed, and the first of them."""
    rows = await connection.fetch(_FAILURES, job_id)
    shown = [
        {"path": row["path"][:2048], "line": row["line"], "byte": row["byte_offset"], "error": row["error"] or ""}
        for row in rows
    ]
    count = len(rows) if len(rows) < 20 else await connection.fetchval(_FAILED, job_id)
    return count, shown


async def bad_lines(connection: Connection, job_id: UUID) -> list[dict[str, Any]]:
    """The first lines that could not be sent."""
    return [
        {
            "path": row["path"][:2048],
            "line": row["line"],
            "byte": row["byte_offset"],
            "reason": row["reason"],
            "sample": row["sample"].decode(errors="replace").replace("\0", "\ufffd"),
        }
        for row in await connection.fetch(_BAD_LINES, job_id)
    ]


async def start(connection: Connection, job_id: UUID, at: Any) -> None:
    """Its first worker has begun."""
    await connection.execute(_START, job_id, at)


async def published(connection: Connection, job_id: UUID, version: int, record: str) -> None:
    await connection.execute(_PUBLISHED, job_id, version, record)


async def looked_at(connection: Connection, job_id: UUID) -> None:
    """There is nothing to publish of it now: the others are looked at first."""
    await connection.execute(_LOOKED_AT, job_id)
