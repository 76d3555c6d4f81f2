"""Jobs: accepted, listed, planned, ended."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.reprocessing import ReprocessingStartData
from signalbox_reprocessor.distribution import ListedFile

_ACCEPT: Final = """
INSERT INTO job (id, operation_id, config, engine, definitions_revision, project, actor, reason, retry_of, created_at,
    traceparent, engine_kind)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
# INVARIANT one reprocessor lists a job at a time; one that died leaves it to another after the time.
_TAKE: Final = """
UPDATE job SET listing_until = now() + $1 * interval '1 second'
WHERE id = (
    SELECT id FROM job WHERE status = 'pending' AND planned_at IS NULL
      AND (listing_until IS NULL OR listing_until < now())
    ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
_PLAN: Final = """
UPDATE job SET planned_at = now(), total_files = $2, total_bytes = $3, total_workers = $4,
    error = NULL, unpublished = true
WHERE id = $1 AND status = 'pending' AND planned_at IS NULL
RETURNING id
"""
_WORKERS: Final = """
INSERT INTO worker (job_id, worker_index, assigned_files, total_bytes)
SELECT $1, * FROM unnest($2::int[], $3::int[], $4::bigint[])
"""
_FILE_COLUMNS: Final = (
    "job_id", "file_index", "worker_index", "path", "size", "version", "line", "byte_offset", "read_bytes", "sent",
    "skipped", "failed",
)  # fmt: skip
_LIST_LATER: Final = """
UPDATE job SET error = $2, listing_until = now() + $3 * interval '1 second', unpublished = true
WHERE id = $1 AND status = 'pending' AND planned_at IS NULL
"""
_REFUSE: Final = """
UPDATE job SET status = 'failed', error = $2, completed_at = now(), unpublished = true
WHERE id = $1 AND status = 'pending' AND planned_at IS NULL
RETURNING operation_id
"""
_LOCK: Final = "SELECT * FROM job WHERE id = ANY($1) ORDER BY id FOR UPDATE"
_CANCEL_UNPLANNED: Final = """
UPDATE job SET status = 'cancelled', completed_at = now(), error = $2, unpublished = true
WHERE id = $1 AND planned_at IS NULL AND status = 'pending'
RETURNING id
"""
_TASK_FAILED: Final = """
UPDATE worker SET status = 'failed', error = coalesce(error, $3), completed_at = now(), updated_at = now()
WHERE job_id = $1 AND worker_index = $2 AND status NOT IN ('completed', 'cancelled')
"""
_EXPLAIN: Final = "UPDATE job SET error = $2, unpublished = true WHERE id = $1"
_LEDGER: Final = """
SELECT count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status NOT IN ('done', 'failed', 'skipped')) AS unread,
    count(*) FILTER (WHERE line <> sent + skipped + failed) AS unbalanced
FROM file WHERE job_id = $1
"""
_FINISH: Final = """
UPDATE job SET status = $2, error = $3, completed_at = now(), unpublished = true WHERE id = $1
"""
# INVARIANT the fence moves, so that a copy that still runs somewhere changes nothing after the end.
_FINISH_WORKERS: Final = """
UPDATE worker SET status = $2, error = coalesce(error, $3), completed_at = now(), updated_at = now(), fence = fence + 1
WHERE job_id = $1 AND status IN ('pending', 'running')
"""
_FAILED_FILES: Final = """
SELECT path, size, version, line, byte_offset, read_bytes, sent, skipped, failed FROM file
WHERE job_id = $1 AND (status = 'failed' OR status IN ('pending', 'running')) ORDER BY file_index
"""
# The first file of the first job is the one its `start_line` is of. A file that failed is counted where it failed last.
_EARLIER: Final = """
WITH RECURSIVE earlier AS (
    SELECT id, retry_of FROM job WHERE id = $1
    UNION SELECT j.id, j.retry_of FROM job j JOIN earlier e ON j.id = e.retry_of)
SELECT (SELECT f.path FROM file f JOIN earlier e ON e.id = f.job_id WHERE e.retry_of IS NULL AND f.file_index = 0)
        AS start_path,
    (SELECT coalesce(sum(f.sent), 0)::bigint FROM file f JOIN earlier e ON e.id = f.job_id
     WHERE f.status = 'done' OR f.job_id = $1) AS sent
"""
_ENDED: Final = "SELECT id FROM job WHERE id = ANY($1) AND status NOT IN ('pending', 'running')"


@dataclass(frozen=True, slots=True)
class EarlierJobs:
    """The jobs that a retry continues: the first file of the first of them, and the events that they sent."""

    start_path: str | None = None
    sent: int = 0


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """How the files of a job stand."""

    failed: int
    unread: int
    unbalanced: int


async def accept(connection: Connection, data: ReprocessingStartData, *, at: datetime, traceparent: str | None) -> bool:
    """Store a job; False when it is known."""
    row = await connection.fetchrow(
        _ACCEPT, data.job_id, data.operation_id, data.config.model_dump_json(), data.engine, data.definitions_revision,
        data.project, data.actor, data.reason, data.retry_of, at, traceparent,
        data.engine_kind,
    )  # fmt: skip
    return row is not None


async def take_unlisted(connection: Connection, seconds: float) -> Row | None:
    """A job whose files are not listed yet. Nobody else gets it for so long."""
    return await connection.fetchrow(_TAKE, seconds)


async def list_later(connection: Connection, job_id: UUID, error: str, *, seconds: float) -> None:
    """Listing failed for a reason that may be mended: the job says so, and is taken again after the time."""
    await connection.execute(_LIST_LATER, job_id, error, seconds)


def config_of(row: Row) -> ReprocessingConfig:
    return ReprocessingConfig.model_validate_json(row["config"])


async def plan(
    connection: Connection,
    job_id: UUID,
    files: Sequence[ListedFile],
    workers: Sequence[int],
    *,
    count: int,
    hash: bytes,
) -> bool:
    """Write the ledger of a job. False: it is planned already, or ended."""
    total = sum(file.size for file in files)
    if await connection.fetchval(_PLAN, job_id, len(files), total, count) is None:
        return False
    assigned, sizes = [0] * count, [0] * count
    for file, worker in zip(files, workers, strict=True):
        assigned[worker] += 1
        sizes[worker] += file.size
    await connection.execute(_WORKERS, job_id, list(range(count)), assigned, sizes)
    await connection.copy_records_to_table("file", records=_records(job_id, files, workers), columns=_FILE_COLUMNS)
    await connection.execute("INSERT INTO job_token (hash, job_id) VALUES ($1, $2)", hash, job_id)
    return True


def _records(job_id: UUID, files: Sequence[ListedFile], workers: Sequence[int]) -> Iterable[tuple[Any, ...]]:
    for index, (file, worker) in enumerate(zip(files, workers, strict=True)):
        yield (job_id, index, worker, file.path, file.size, file.version, *file.done)


async def refuse(connection: Connection, job_id: UUID, reason: str) -> bool:
    """The job cannot run."""
    return await connection.fetchval(_REFUSE, job_id, reason[:2000]) is not None


async def lock(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Row]:
    """These jobs, those that are known, held until the end of the transaction."""
    return {row["id"]: row for row in await connection.fetch(_LOCK, list(ids))}


async def cancel_unplanned(connection: Connection, job_id: UUID, reason: str) -> bool:
    """End a job that has no workers yet."""
    return await connection.fetchval(_CANCEL_UNPLANNED, job_id, reason) is not None


async def fail_worker(connection: Connection, job_id: UUID, worker_index: int, error: str) -> None:
    """The task of a worker failed for good. What the worker wrote about it stays."""
    await connection.execute(_TASK_FAILED, job_id, worker_index, error)


async def explain(connection: Connection, job_id: UUID, error: str) -> None:
    """Why the job failed, or is about to."""
    await connection.execute(_EXPLAIN, job_id, error[:2000])


async def ledger_sums(connection: Connection, job_id: UUID) -> LedgerSums:
    row = await connection.fetchrow(_LEDGER, job_id)
    assert row is not None
    return LedgerSums(row["failed"], row["unread"], row["unbalanced"])


async def finish(connection: Connection, job_id: UUID, status: str, error: str | None) -> None:
    """The job is over, and so are its workers."""
    await connection.execute(_FINISH, job_id, status, error[:2000] if error else None)
    worker = "cancelled" if status == "cancelled" else "failed"
    await connection.execute(_FINISH_WORKERS, job_id, worker, None if status == "cancelled" else error)
    await connection.execute("DELETE FROM job_token WHERE job_id = $1", job_id)


async def unfinished_files(connection: Connection, job_id: UUID) -> list[ListedFile]:
    """The files of an ended job that were not read to their end, with their checkpoints."""
    return [
        ListedFile(
            row["path"], row["size"], row["version"],
            (row["line"], row["byte_offset"], row["read_bytes"], row["sent"], row["skipped"], row["failed"]),
        )
        for row in await connection.fetch(_FAILED_FILES, job_id)
    ]  # fmt: skip


async def earlier(connection: Connection, job_id: UUID) -> EarlierJobs:
    """What a retry of this job has to know of it, and of the jobs that it is itself a retry of."""
    row = await connection.fetchrow(_EARLIER, job_id)
    assert row is not None
    return EarlierJobs(row["start_path"], row["sent"])


async def ended(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these jobs are over."""
    return {row["id"] for row in await connection.fetch(_ENDED, list(ids))}
