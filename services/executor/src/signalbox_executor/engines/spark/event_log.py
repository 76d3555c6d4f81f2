"""Jobs and stages of an application, from the event log that Spark writes: read where no listener of ours reports.

Spark 4 writes `eventlog_v2_<application>/events_<number>_<application>.zstd`; with `spark.eventLog.rolling.enabled`
off it is one file named after the application. Plain files and zstd are read.
"""

import asyncio
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import zstandard

from signalbox_chassis.blobs import Blob, Blobs
from signalbox_chassis.start_fence import RunProgress

MAX_BYTES: Final = 64 * 1024 * 1024
"""Of an application that ended, as stored; a longer log is not read."""
MAX_LIVE_BYTES: Final = 4 * 1024 * 1024
"""The same of one that runs: it is read again whenever it has grown."""
MAX_PLAIN_BYTES: Final = 512 * 1024 * 1024
MAX_LINE_BYTES: Final = 8 * 1024 * 1024
MAX_FILES: Final = 1000
MAX_CACHED: Final = 5000
_EVENTS: Final = re.compile(r"/events_(\d{1,9})_[^/]+$")
_SINGLE: Final = ("", ".zstd", ".inprogress", ".zstd.inprogress")
_APPLICATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KIND: Final = re.compile(
    rb'^\{"Event":"SparkListener(ApplicationStart|ApplicationEnd|StageSubmitted|StageCompleted|TaskEnd|JobEnd)"'
)
_TASK_SUCCEEDED: Final = b'"Task End Reason":{"Reason":"Success"'


class EventLogs:
    """The event logs of one folder. A log that did not grow is not read again."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._cached: dict[str, tuple[int, RunProgress]] = {}

    async def progress(self, application: str, *, ended: bool) -> RunProgress | None:
        """How far an application is; None where there is no log, or none that is read. Raises `BlobStoreFailed`."""
        if not _APPLICATION.fullmatch(application):
            return None
        files = await self._files(application)
        size = sum(file.bytes for file in files)
        if not files or size > (MAX_BYTES if ended else MAX_LIVE_BYTES):
            return None
        known = self._cached.get(application)
        if known is not None and known[0] == size:
            return known[1]
        parts = [(file.key, await self._blobs.read(file.key)) for file in files]
        found = await asyncio.to_thread(summarize_log, application, parts)
        if found is not None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[application] = (size, found)
        return found

    async def _files(self, application: str) -> list[Blob]:
        """The files of a log, in the order they were written."""
        found: list[tuple[int, Blob]] = []
        async for page in self._blobs.pages(f"eventlog_v2_{application}"):
            found += [(int(match[1]), blob) for blob in page if (match := _EVENTS.search("/" + blob.key))]
            if len(found) > MAX_FILES:
                return []
        if found:
            return [blob for _, blob in sorted(found, key=lambda one: one[0])]
        for suffix in _SINGLE:
            size = await self._blobs.size(application + suffix)
            if size is not None:
                return [Blob(application + suffix, size, datetime.now(UTC))]
        return []


def summarize_log(application: str, parts: Sequence[tuple[str, bytes]]) -> RunProgress | None:
    """What the files of a log add up to; None if one is compressed in a way that is not read, or too long."""
    counts = _Counts()
    left = MAX_PLAIN_BYTES
    for name, content in parts:
        plain = _plain(name, content)
        if plain is None:
            return None
        for line in _lines(plain):
            left -= len(line)
            if left < 0:
                return None
            counts.add(line)
    return counts.progress(application)


class _Counts:
    def __init__(self) -> None:
        self._jobs_done = self._jobs_failed = 0
        self._last_failed, self._last_error, self._ended = False, "", False
        self._active: set[tuple[Any, Any]] = set()
        self._stages_done = self._tasks_done = self._tasks_total = 0

    def add(self, line: bytes) -> None:
        """Take one event; one that cannot be read changes nothing."""
        kind = _KIND.match(line)
        if kind is None:
            return
        if kind[1] == b"TaskEnd":  # the most frequent by far, and the longest: it is not parsed
            self._tasks_done += _TASK_SUCCEEDED in line
            return
        try:
            event = json.loads(line)
            self._add(kind[1].decode(), event)
        except (ValueError, KeyError, TypeError, RecursionError):
            return

    def _add(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "ApplicationEnd":
            self._ended = True
        elif kind == "JobEnd":
            result = event["Job Result"]
            self._last_failed = result["Result"] != "JobSucceeded"
            if self._last_failed:
                self._jobs_failed += 1
                self._last_error = str(result.get("Exception", {}).get("Message", ""))[:2000]
            else:
                self._jobs_done += 1
        elif kind.startswith("Stage"):
            stage = event["Stage Info"]
            key = (int(stage["Stage ID"]), int(stage["Stage Attempt ID"]))
            if kind == "StageSubmitted":
                self._active.add(key)
                self._tasks_total += max(0, int(stage["Number of Tasks"]))
            else:
                self._active.discard(key)
                self._stages_done += 1

    def progress(self, application: str) -> RunProgress:
        return RunProgress(
            application=application, jobs_done=self._jobs_done, jobs_failed=self._jobs_failed,
            last_job_failed=self._last_failed, last_error=self._last_error, stages_done=self._stages_done,
            stages_active=len(self._active), tasks_done=self._tasks_done, tasks_total=self._tasks_total,
            ended=self._ended,
        )  # fmt: skip


def _plain(name: str, content: bytes) -> Any:
    name = name.removesuffix(".inprogress").removesuffix(".compact")
    if name.endswith((".lz4", ".lzf", ".snappy")):
        return None
    if not name.endswith(".zstd"):
        return io.BytesIO(content)
    return zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        io.BytesIO(content), read_across_frames=True
    )


def _lines(source: Any) -> Iterator[bytes]:
    """Lines, as far as the source can be read: the last frame of a log that is written is not whole."""
    rest = b""
    for part in _pieces(source):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            return
    yield rest


def _pieces(source: Any) -> Iterable[bytes]:
    while True:
        try:
            part = source.read(1 << 20)
        except (zstandard.ZstdError, OSError):
            return
        if not part:
            return
        yield part
