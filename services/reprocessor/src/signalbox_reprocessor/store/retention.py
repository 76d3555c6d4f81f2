"""Deletes jobs that ended long ago: the job's row first, its files, bad lines and workers after it in batches.

`pruned_job` names the jobs whose rows are still to be deleted, so that a crash in between leaves nothing behind, and a
retry never reads a job with a part of its files.
"""

from typing import Final

from signalbox_chassis.persistence.connection import Connection

MAX_JOBS: Final = 100

_ENDED: Final = """
j.completed_at < now() - make_interval(days => $1) AND NOT j.unpublished AND j.status NOT IN ('pending', 'running')
"""
# INVARIANT retention deletes no job that may still change, that is to be published, or that a kept job continues: a
# retry reads the start and the counts of all earlier jobs.
_OLD: Final = f"""
FROM job j WHERE {_ENDED} AND j.id NOT IN (
    WITH RECURSIVE continued AS (
        SELECT j.retry_of AS id FROM job j WHERE j.retry_of IS NOT NULL AND ({_ENDED}) IS NOT TRUE
        UNION SELECT j.retry_of FROM job j JOIN continued c ON c.id = j.id WHERE j.retry_of IS NOT NULL)
    SELECT id FROM continued)
"""  # noqa: S608
# A retry ends after the job that it continues, so the last job of a chain is deleted first.
_TAKE: Final = f"""
WITH old AS (SELECT j.id {_OLD} ORDER BY j.completed_at DESC LIMIT {MAX_JOBS} FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM job WHERE id IN (SELECT id FROM old) RETURNING id)
INSERT INTO pruned_job SELECT id FROM gone ON CONFLICT DO NOTHING RETURNING job_id
"""  # noqa: S608
_PRUNED: Final = f"SELECT job_id FROM pruned_job ORDER BY job_id LIMIT {MAX_JOBS} FOR UPDATE SKIP LOCKED"  # noqa: S608
_TABLES: Final = ("bad_line", "file", "worker", "pruned_job")
"""The rows of a job, those that refer to others first."""
_DELETE: Final = "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE job_id = ANY($1) LIMIT $2))"
_COUNTS: Final = {
    "jobs": f"SELECT count(*) {_OLD}",
    "files": f"SELECT count(*) FROM file WHERE job_id IN (SELECT j.id {_OLD} UNION SELECT job_id FROM pruned_job)",  # noqa: S608
}


async def count(connection: Connection, days: int) -> dict[str, int]:
    """What `prune` would delete, by kind."""
    return {kind: await connection.fetchval(query, days) for kind, query in _COUNTS.items()}


async def prune(connection: Connection, days: int, batch: int) -> dict[str, int]:
    """Delete some jobs and up to `batch` rows of theirs, in one short transaction; how many rows of each kind."""
    deleted = {"jobs": 0, "files": 0, "rows": 0}
    async with connection.transaction():
        deleted["jobs"] = len(await connection.fetch(_TAKE, days))
        pruned = [row["job_id"] for row in await connection.fetch(_PRUNED)]
        for table in _TABLES if pruned else ():
            done = await connection.execute(_DELETE.format(table=table), pruned, batch - deleted["rows"])
            rows = int(done.split()[-1])
            deleted["rows"] += rows
            deleted["files"] += rows if table == "file" else 0
            if deleted["rows"] >= batch:
                break
    return deleted
