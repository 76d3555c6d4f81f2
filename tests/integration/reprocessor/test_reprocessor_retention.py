"""Retention: jobs that ended long ago are deleted in bounded batches, unless a kept job continues them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID, uuid4

import pytest_asyncio

from signalbox_reprocessor.store import jobs, retention
from support.proofs import proves
from support.reprocessing import Reprocessors, reprocessors_on

DAYS, BATCH, FILES = 90, 100, 250
_JOB = """
INSERT INTO job (id, operation_id, config, engine, definitions_revision, project, actor, reason, created_at, planned_at,
    status, completed_at, retry_of, unpublished)
VALUES ($1, gen_random_uuid(), '{}', 'process', 1, 'default', 'user:ann', '', now(), now(), $2,
    CASE WHEN $2 <> 'running' THEN now() - make_interval(days => $3) END, $4, false)
"""
_FILES = """
INSERT INTO file (job_id, file_index, worker_index, path, size, version, status)
SELECT $1, n, 0, '/events/' || n, 1, '1', 'failed' FROM generate_series(0, $2 - 1) AS n
"""


@pytest_asyncio.fixture
async def reprocessors(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Reprocessors]:
    """No reprocessor runs: its own first pass of retention would delete what these tests count."""
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        yield made


async def add_job(made: Reprocessors, status: str, *, days: int, retry_of: UUID | None = None, files: int = 3) -> UUID:
    """A job that ended so many days ago, with one worker, its files and a bad line."""
    id = uuid4()
    async with made.connection() as connection:
        await connection.execute(_JOB, id, status, days, retry_of)
        await connection.execute("INSERT INTO worker (job_id, worker_index) VALUES ($1, 0)", id)
        await connection.execute(_FILES, id, files)
        await connection.execute("INSERT INTO bad_line VALUES ($1, 1, 1, 0, 'not JSON', '')", id)
    return id


async def test_jobs_that_ended_long_ago_are_deleted_in_batches(reprocessors: Reprocessors) -> None:
    """Without it the ledger of every job ever run fills the disk."""
    old = await add_job(reprocessors, "completed", days=100, files=FILES)
    young = await add_job(reprocessors, "failed", days=10)
    running = await add_job(reprocessors, "running", days=0)
    async with reprocessors.connection() as connection:
        assert await retention.count(connection, DAYS) == {"jobs": 1, "files": FILES}
        first = await retention.prune(connection, DAYS, BATCH)
        assert (first["jobs"], first["rows"]) == (1, BATCH)
        assert not await connection.fetchval("SELECT count(*) FROM job WHERE id = $1", old), "the job is deleted first"
        assert (await retention.count(connection, DAYS))["files"] == FILES - first["files"]
        while any((await retention.prune(connection, DAYS, BATCH)).values()):
            pass
        for table in ("worker", "file", "bad_line", "pruned_job"):
            rows = await connection.fetch(f"SELECT DISTINCT job_id FROM {table}")  # noqa: S608
            assert {row["job_id"] for row in rows} == (set() if table == "pruned_job" else {young, running}), table


@proves("reprocessor.store.retention: retention deletes no job")
async def test_a_job_that_a_kept_job_continues_is_kept(reprocessors: Reprocessors) -> None:
    """Without it a retry of the retry forgets where the first job began, and what it sent."""
    first = await add_job(reprocessors, "failed", days=300)
    second = await add_job(reprocessors, "failed", days=200, retry_of=first)
    third = await add_job(reprocessors, "failed", days=10, retry_of=second)
    async with reprocessors.connection() as connection:
        assert not any((await retention.prune(connection, DAYS, BATCH)).values())
        assert (await jobs.earlier(connection, third)).start_path == "/events/0"
        await connection.execute("UPDATE job SET completed_at = now() - interval '100 days' WHERE id = $1", third)
        assert (await retention.count(connection, DAYS))["jobs"] == 3
        while any((await retention.prune(connection, DAYS, BATCH)).values()):
            pass
        assert await connection.fetchval("SELECT count(*) FROM job") == 0
