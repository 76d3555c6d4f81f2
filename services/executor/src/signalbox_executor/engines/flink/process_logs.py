"""The log files of a cluster's processes, read once for all jobs that are asked about.

Flink keeps logs per process and serves whole files. A line belongs to a job if it names the job's id, and so does what
follows it without a time in front, such as a stack trace. Log4j's `%X{flink-job-id}` in the layout makes Flink (1.18
and newer) name the job on every line a job writes.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from signalbox_executor.engines.flink.answers import LogFile
from signalbox_executor.engines.flink.rest import JobManager

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_PROCESSES: Final = 50
MAX_LINE_BYTES: Final = 64 * 1024
READ_EVERY_SECONDS: Final = 5.0
_BEGINNING: Final = re.compile(rb"^\D{0,20}\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}")
_ID: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")

Cursors = Mapping[str, int]
"""How far each file was read for a job, by its name."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file of one process; `task_manager` is None for the JobManager."""

    task_manager: str | None
    file: LogFile

    @property
    def name(self) -> str:
        return f"{self.task_manager or 'jobmanager'}/{self.file.name}"


@dataclass
class _Lines:
    """What one file has of one job: its lines, each with the byte behind it."""

    read_to: int = 0
    given_to: int = 0
    lines: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])


class ProcessLogs:
    """The logs of one cluster."""

    def __init__(self, job_manager: JobManager) -> None:
        self._job_manager = job_manager
        self._lock = asyncio.Lock()
        self._sources: Sequence[Source] = ()
        self._sizes: dict[str, int] = {}
        self._listed_at: float | None = None
        self._jobs: dict[str, dict[str, _Lines]] = {}

    async def lines(self, job_id: str, cursors: Cursors, *, now: bool = False) -> tuple[bytes, Cursors]:
        """What the files have of a job behind these cursors, and the cursors behind that.

        Files are read at most every few seconds, unless `now`.
        """
        async with self._lock:
            await self._list(now=now)
            text, after = bytearray(), dict(cursors)
            for source in self._sources:
                cursor = cursors.get(source.name, 0)
                if cursor > self._sizes[source.name]:
                    cursor = 0  # a new file has this name
                found = await self._read(source, job_id, cursor)
                for end, line in found.lines:
                    if end > cursor:
                        text += b"[" + source.name.encode() + b"] " + line + b"\n"
                found.lines.clear()
                found.given_to = after[source.name] = max(cursor, found.read_to)
            return bytes(text), after

    def forget(self, job_id: str) -> None:
        """Nobody asks about this job any more."""
        self._jobs.pop(job_id, None)

    async def _list(self, *, now: bool) -> None:
        if not now and self._listed_at is not None and time.monotonic() - self._listed_at < READ_EVERY_SECONDS:
            return
        processes = (None, *(await self._job_manager.task_managers())[:MAX_PROCESSES])
        sources: list[Source] = []
        for process in processes:
            files = await self._job_manager.log_files(process)
            sources += [Source(process, file) for file in files if file.name.endswith(".log")]
        self._sources = sorted(sources, key=lambda source: source.name)
        self._sizes = {source.name: source.file.size for source in sources}
        self._listed_at = time.monotonic()

    async def _read(self, source: Source, job_id: str, cursor: int) -> _Lines:
        """The lines of a job in a file; what is new in the file is read for every job that is asked about."""
        files = self._jobs.setdefault(job_id, {})
        mine = files.get(source.name)
        if mine is None or mine.given_to > cursor:  # the first time, or what was given is asked for again
            mine = files[source.name] = _Lines(cursor, cursor)
        if mine.read_to < self._sizes[source.name] <= MAX_FILE_BYTES:
            async with self._job_manager.log_content(source.file.name, source.task_manager) as content:
                await self._sort(source.name, content)
        return mine

    async def _sort(self, name: str, content: AsyncIterable[bytes]) -> None:
        """Give each line of a file to the jobs it belongs to."""
        wanted = {job_id.encode(): files[name] for job_id, files in self._jobs.items() if name in files}
        position, owners, rest = 0, frozenset[bytes](), b""
        async for chunk in content:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                position += len(line) + 1
                if _BEGINNING.match(line):
                    owners = frozenset(_ID.findall(line)) & wanted.keys()
                for owner in owners:
                    if position > wanted[owner].read_to:
                        wanted[owner].lines.append((position, line[:MAX_LINE_BYTES]))
            if position + len(rest) > MAX_FILE_BYTES:
                break
        for lines in wanted.values():
            lines.read_to = max(lines.read_to, position)
        self._sizes[name] = max(self._sizes[name], position)
