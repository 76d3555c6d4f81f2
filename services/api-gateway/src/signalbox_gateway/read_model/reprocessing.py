"""Reprocessing jobs in the read model: what was asked here, and the newest state the reprocessor published."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json

from signalbox_chassis.persistence.connection import Connection, Row
from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.reprocessing import ReprocessingRecord
from signalbox_gateway.read_model.queries import Page

_ACCEPT: Final = """
INSERT INTO reprocessing_job AS j (id, operation_id, config, actor, reason, engine, retry_of, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
# INVARIANT an older version changes nothing: facts may come twice and late.
_WRITE: Final = """
INSERT INTO reprocessing_job AS j (id, version, status, ended_at, record)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[]) ORDER BY 1
ON CONFLICT (id) DO UPDATE
SET version = excluded.version, status = excluded.status, ended_at = excluded.ended_at, record = excluded.record
WHERE j.version < excluded.version
"""
_LOAD: Final = """
SELECT j.*, a.state AS answer_state, a.answer, a.details::text AS answer_details
FROM reprocessing_job j LEFT JOIN operation_answer a ON a.operation_id = j.operation_id WHERE j.id = $1
"""
_LIST: Final = """
SELECT * FROM reprocessing_job
WHERE (cardinality($1::text[]) = 0 OR status = ANY($1))
  AND ($2 = '' OR strpos(lower(coalesce(config, '') || id), lower($2)) > 0)
  AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
ORDER BY created_at DESC, id DESC LIMIT $5
"""
_COUNTS: Final = (
    "current_file", "current_line", "current_timestamp", "total_files", "processed_files", "total_lines",
    "success_count", "error_count", "skipped_count", "total_bytes", "processed_bytes", "failed_files",
)  # fmt: skip
_PLACE: Final = ("path", "line", "byte", "reason")
_NONE_YET: Final[dict[str, Any]] = {
    **dict.fromkeys(_COUNTS, 0), "current_file": None, "current_timestamp": None, "balanced": True, "workers": [],
    "failures": [], "bad_lines": [], "total_workers": None, "started_at": None, "completed_at": None, "error": None,
}  # fmt: skip


async def accept(
    connection: Connection, id: UUID, operation_id: UUID, config: ReprocessingConfig, *, actor: str, reason: str,
    engine: str, retry_of: UUID | None, at: datetime,
) -> bool:  # fmt: skip
    """Store what was asked; False when the id is taken."""
    text = config.model_dump_json(exclude={"kind"}, exclude_none=True)
    row = await connection.fetchval(_ACCEPT, id, operation_id, text, actor, reason, engine, retry_of, at)
    return row is not None


async def write_states(connection: Connection, records: Sequence[ReprocessingRecord]) -> None:
    """Keep the newest state of each job."""
    newest: dict[UUID, ReprocessingRecord] = {}
    for record in records:
        if record.job_id not in newest or newest[record.job_id].version < record.version:
            newest[record.job_id] = record
    rows = list(newest.values())
    await connection.execute(
        _WRITE, [row.job_id for row in rows], [row.version for row in rows], [row.status.value for row in rows],
        [row.completed_at for row in rows], [row.model_dump_json() for row in rows],
    )  # fmt: skip


async def load(connection: Connection, id: UUID) -> Row | None:
    """The row of a job, with the answer to its start."""
    return await connection.fetchrow(_LOAD, id)


async def list_jobs(
    connection: Connection, *, status: Sequence[str], q: str, after: Sequence[Any] | None, limit: int
) -> Page:
    """Jobs, newest first."""
    at, id = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else (None, None)
    rows = await connection.fetch(_LIST, list(status), q, at, id, limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    last = [rows[-1]["created_at"].isoformat(), str(rows[-1]["id"])] if more else None
    return Page([shown(row) for row in rows], last)


def shown(row: Row) -> dict[str, Any]:
    """A job in the fields of the document, and ours."""
    published: dict[str, Any] = from_json(row["record"]) if row["record"] else {}
    record: dict[str, Any] = {**_NONE_YET, **published}
    total = record["total_files"]
    return {
        "id": row["id"], "status": row["status"], "config": from_json(row["config"]) if row["config"] else {},
        "created_at": row["created_at"], "started_at": record["started_at"], "completed_at": record["completed_at"],
        **{name: record[name] for name in _COUNTS},
        "progress": round(record["processed_files"] / total, 4) if total else 0.0,
        "total_workers": record["total_workers"], "k8s_job_name": f"reprocess-{row['id']}",
        "error": record["error"],
        "balanced": record["balanced"], "failures": record["failures"],
        "bad_lines": [{name: line[name] for name in _PLACE} for line in record["bad_lines"]],
        "plan_id": row["id"], "engine": row["engine"], "actor": row["actor"], "reason": row["reason"],
        "retry_of": row["retry_of"],
    }  # fmt: skip


def bad_lines(row: Row) -> list[dict[str, Any]]:
    """The first lines of a job that could not be sent, each with how it begins."""
    return from_json(row["record"])["bad_lines"] if row["record"] else []


def workers(row: Row) -> list[dict[str, Any]]:
    """The workers of a job, by index."""
    return from_json(row["record"])["workers"] if row["record"] else []
