"""The log of a run: its lines in the logs of Flink's processes, and in the end why it failed.

The text is a stream that grows. How far the files were read at an offset is kept in the blob store, so that another
executor goes on where this one was; a page that was handed out and not stored is made again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import Field

from signalbox_chassis.blobs import BlobMissing, Blobs
from signalbox_contracts.vocabulary import Count, Value
from signalbox_executor.engines.flink import phases
from signalbox_executor.engines.flink.answers import Exceptions, Failure, instant
from signalbox_executor.engines.flink.process_logs import ProcessLogs
from signalbox_executor.engines.flink.rest import JobManager
from signalbox_executor.engines.port import LogPage

MAX_STREAMS: Final = 2000
_FAILURES: Final = "exceptions"


class LogState(Value):
    """How far the files were read when the stream had so many bytes."""

    offset: Count = 0
    cursors: dict[str, Count] = Field(default_factory=dict)


@dataclass
class _Stream:
    """What was made of a run's log and not asked past yet."""

    base: int
    saved: LogState
    cursors: dict[str, int]
    pending: bytes = b""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RunLogs:
    """The logs of one cluster's runs."""

    def __init__(self, engine_id: str, job_manager: JobManager, blobs: Blobs) -> None:
        self._folder = f"flink/{engine_id}/logs"
        self._job_manager = job_manager
        self._blobs = blobs
        self._files = ProcessLogs(job_manager)
        self._streams: dict[str, _Stream] = {}

    async def page(self, run_key: str, job_id: str, *, offset: int, limit: int) -> LogPage:
        """At most `limit` bytes from `offset` on."""
        stream = self._streams.get(run_key)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS:
                self._streams.clear()
            stream = self._streams[run_key] = await self._restore(run_key, offset)
        async with stream.lock:
            passed = offset - stream.base
            if not 0 <= passed <= len(stream.pending):
                stream = self._streams[run_key] = await self._restore(run_key, offset)
                passed = offset - stream.base
            stream.base, stream.pending = offset, stream.pending[max(passed, 0) :]
            if not stream.pending:
                await self._save(run_key, stream)
                await self._fill(stream, job_id)
            return LogPage(offset, stream.pending[:limit])

    async def _fill(self, stream: _Stream, job_id: str) -> None:
        job = await self._job_manager.job(job_id)
        if job is None:
            return
        ended = phases.PHASES.get(job.state) in phases.CAUSES
        text, cursors = await self._files.lines(job_id, stream.cursors, now=ended)
        stream.cursors = dict(cursors)
        if ended:
            self._files.forget(job_id)
            if not stream.cursors.get(_FAILURES):
                text += render_failures(await self._job_manager.exceptions(job_id))
                stream.cursors[_FAILURES] = 1
        stream.pending = text

    async def _restore(self, run_key: str, offset: int) -> _Stream:
        try:
            state = LogState.model_validate_json(await self._blobs.read(f"{self._folder}/{run_key}.json"))
        except BlobMissing:
            state = LogState()
        if state.offset > offset:  # somebody reads again from an earlier place: everything is made again
            state = LogState(offset=offset)
        return _Stream(offset, state, dict(state.cursors))

    async def _save(self, run_key: str, stream: _Stream) -> None:
        state = LogState(offset=stream.base, cursors=stream.cursors)
        if state != stream.saved:
            await self._blobs.write(f"{self._folder}/{run_key}.json", state.model_dump_json().encode(), replace=True)
            stream.saved = state


def render_failures(exceptions: Exceptions) -> bytes:
    """Why a job failed or restarted, oldest first, as its log ends."""
    failures: Sequence[Failure] = list(reversed(exceptions.history.entries))
    if not failures and exceptions.root_exception:
        failures = [Failure(stacktrace=exceptions.root_exception)]
    parts: list[str] = []
    for failure in failures:
        at = instant(failure.timestamp)
        where = [text for text in (failure.task_name, failure.task_manager_id) if text]
        parts.append(
            f"[exceptions] {at.isoformat() if at else ''} {' on '.join(where)}\n{failure.stacktrace.strip()}\n"
        )
    return "".join(parts).encode()
