"""The ledger: which files are this worker's, and how far each is. All SQL of the worker.

The worker's role sees and changes the rows of one job alone: that of the token it shows. A worker that another copy has
replaced (`fence`) changes nothing any more.
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from signalbox_reprocessor.worker.checkpoints import BadLine, Checkpoint
from signalbox_reprocessor.worker.sources import SourceFile

_CLAIM: Final = """
UPDATE worker SET fence = fence + 1, status = 'running', started_at = coalesce(started_at, now()), updated_at = now(),
    error = NULL, completed_at = NULL
WHERE job_id = $1 AND worker_index = $2 AND status <> 'completed'
RETURNING fence
"""
_FILES: Final = """
SELECT file_index, path, size, version, status, line, byte_offset, read_bytes, sent, skipped, failed
FROM file WHERE job_id = $1 AND worker_index = $2 ORDER BY file_index
"""
# INVARIANT the worker's row is changed first, where the fence matches: an older copy then changes no file either.
_SAVE: Final = """
WITH mine AS (
    UPDATE worker SET updated_at = now(), current_file = $4, current_line = $5, "current_timestamp" = $6,
        processed_files = $7, total_lines = $8, success_count = $9, error_count = $10, skipped_count = $11,
        processed_bytes = $12
    WHERE job_id = $1 AND worker_index = $2 AND fence = $3
    RETURNING 1
), given AS (
    SELECT * FROM unnest($13::int[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
        $19::bigint[], $20::bigint[], $21::text[])
        AS g (file_index, status, line, byte_offset, read_bytes, sent, skipped, failed, error)
), moved AS (
    UPDATE file AS f SET status = g.status, line = g.line, byte_offset = g.byte_offset, read_bytes = g.read_bytes,
        sent = g.sent, skipped = g.skipped, failed = g.failed, error = g.error
    FROM given g WHERE f.job_id = $1 AND f.file_index = g.file_index AND EXISTS (SELECT FROM mine)
    RETURNING 1
)
SELECT (SELECT count(*) FROM mine) = 1 AND (SELECT count(*) FROM moved) = (SELECT count(*) FROM given)
"""
_BAD: Final = """
INSERT INTO bad_line (job_id, file_index, line, byte_offset, reason, sample)
SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::bytea[])
ON CONFLICT DO NOTHING
"""
_END: Final = """
UPDATE worker SET status = $4, error = $5, completed_at = now(), updated_at = now(), current_file = NULL,
    current_line = 0
WHERE job_id = $1 AND worker_index = $2 AND fence = $3
RETURNING 1
"""


class Replaced(Exception):
    """Another copy of this worker runs; or the job is over."""


class Ledger:
    """The rows of one worker. One connection; `connect` makes a new one after a fault."""

    def __init__(self, url: str, schema: str, token: str, job_id: str, worker_index: int) -> None:
        self._url = url
        self._schema = schema
        self._token = token
        self._job_id = job_id
        self._worker = worker_index
        self._fence = 0
        self._connection: Any = None
        self._files: dict[int, Checkpoint] = {}
        self._paths: dict[int, str] = {}

    async def connect(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownVariableType] -- asyncpg ships no types
            made = await connect(
                self._url, timeout=10, command_timeout=30,
                server_settings={"search_path": self._schema, "application_name": "signalbox reprocessing worker"},
            )  # fmt: skip
            try:
                await made.execute("SELECT set_config('signalbox.job_token', $1, false)", self._token)
            except BaseException:
                made.terminate()  # without the token it sees no row, as if another copy had replaced this worker
                raise
            self._connection = made
        return self._connection

    async def claim(self) -> bool:
        """Become the one copy of this worker. False: its work is done, or the job is not there."""
        connection = await self.connect()
        fence = await connection.fetchval(_CLAIM, self._job_id, self._worker)
        self._fence = fence or 0
        return fence is not None

    async def files(self) -> list[tuple[SourceFile, Checkpoint]]:
        """The files that are not done, each with its checkpoint."""
        connection = await self.connect()
        found: list[tuple[SourceFile, Checkpoint]] = []
        for row in await connection.fetch(_FILES, self._job_id, self._worker):
            index = row["file_index"]
            checkpoint = Checkpoint(
                index, row["line"], row["byte_offset"], row["read_bytes"], row["sent"], row["skipped"], row["failed"],
                row["status"],
            )  # fmt: skip
            self._files[index], self._paths[index] = checkpoint, row["path"]
            if row["status"] in ("pending", "running"):
                found.append((SourceFile(index, row["path"], row["size"], row["version"]), checkpoint))
        return found

    @property
    def sent(self) -> int:
        """Messages acknowledged so far."""
        return sum(one.sent for one in self._files.values())

    @property
    def failed_files(self) -> list[str]:
        return [self._paths[index] for index, one in self._files.items() if one.status == "failed"]

    async def save(self, checkpoints: Sequence[Checkpoint], bad_lines: Sequence[BadLine]) -> None:
        """Make these places durable, in one statement. Raises `Replaced`; faults of the connection pass through."""
        connection = await self.connect()
        files = {**self._files, **{one.file_index: one for one in checkpoints}}
        changed = list({one.file_index: one for one in checkpoints}.values())
        last = changed[-1] if changed else None
        every = files.values()
        running = last is not None and last.status == "running"
        if bad_lines:
            await connection.execute(
                _BAD, self._job_id, [bad.file_index for bad in bad_lines], [bad.line for bad in bad_lines],
                [bad.offset for bad in bad_lines], [bad.reason[:1000] for bad in bad_lines],
                [bad.sample for bad in bad_lines],
            )  # fmt: skip
        saved = await connection.fetchval(
            _SAVE, self._job_id, self._worker, self._fence,
            self._paths[last.file_index] if last and running else None,
            last.line if last and running else 0,
            last.timestamp if last else None,
            sum(one.status in ("done", "failed", "skipped") for one in every),
            sum(one.line for one in every), sum(one.sent for one in every), sum(one.failed for one in every),
            sum(one.skipped for one in every), sum(one.read_bytes for one in every),
            [one.file_index for one in changed], [one.status for one in changed], [one.line for one in changed],
            [one.offset for one in changed], [one.read_bytes for one in changed], [one.sent for one in changed],
            [one.skipped for one in changed], [one.failed for one in changed],
            [one.error[:2000] if one.error else None for one in changed],
        )  # fmt: skip
        if not saved:
            raise Replaced
        self._files = files

    async def end(self, status: str, error: str | None) -> None:
        """The worker's last word. Raises `Replaced`."""
        connection = await self.connect()
        row = await connection.fetchval(
            _END, self._job_id, self._worker, self._fence, status, error[:2000] if error else None
        )
        if row is None:
            raise Replaced

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=5)
