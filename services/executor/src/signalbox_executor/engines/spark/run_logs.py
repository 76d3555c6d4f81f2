"""The log of a driver: what it wrote to `stdout` and `stderr`, as one stream. A line names the file of each piece.

How far both files were read at an offset is kept in the blob store, so that another executor goes on where this one
was. The files are its worker's: a worker that is gone shows nothing more.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from signalbox_chassis.blobs import BlobMissing, Blobs
from signalbox_contracts.vocabulary import Count, Value
from signalbox_executor.engines.port import LogPage
from signalbox_executor.engines.spark.master import Master
from signalbox_executor.engines.spark.records import RunRecords

MAX_STREAMS: Final = 2000
PART_BYTES: Final = 256 * 1024


class LogState(Value):
    """How far the files were read when the stream had so many bytes."""

    offset: Count = 0
    stdout: Count = 0
    stderr: Count = 0


@dataclass
class _Stream:
    """What was made of a run's log and not asked past yet; `read` is how far the files were read for it."""

    state: LogState
    read: LogState
    saved: LogState
    pending: bytes = b""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RunLogs:
    """The logs of one master's drivers."""

    def __init__(self, master: Master, records: RunRecords, blobs: Blobs) -> None:
        self._master = master
        self._records = records
        self._blobs = blobs
        self._streams: dict[str, _Stream] = {}

    async def page(
        self, run_key: str, driver: str, worker_url: str, *, ended: bool, offset: int, limit: int
    ) -> LogPage:  # fmt: skip
        """At most `limit` bytes from `offset` on."""
        stream = await self._stream(run_key, offset)
        async with stream.lock:
            passed = offset - stream.state.offset
            if not 0 <= passed <= len(stream.pending):
                stream = self._streams[run_key] = await self._restore(run_key, offset)
                passed = 0
            stream.pending = stream.pending[passed:]
            stream.state = stream.state.model_copy(update={"offset": offset})
            if not stream.pending:
                stream.state = stream.read.model_copy(update={"offset": offset})
                await self._save(run_key, stream)
                await self._fill(stream, driver, worker_url, ended=ended)
            return LogPage(offset, stream.pending[:limit])

    async def _stream(self, run_key: str, offset: int) -> _Stream:
        found = self._streams.get(run_key)
        if found is None:
            if len(self._streams) >= MAX_STREAMS:
                self._streams.clear()
            found = self._streams[run_key] = await self._restore(run_key, offset)
        return found

    async def _fill(self, stream: _Stream, driver: str, worker_url: str, *, ended: bool) -> None:
        """Both files a piece further. Whole lines only while the driver runs: the two are put one after the other."""
        text, read = b"", {"stdout": stream.read.stdout, "stderr": stream.read.stderr}
        for name, cursor in read.items():
            part = await self._master.log(worker_url, driver, name, cursor, PART_BYTES)
            data = part.data if part is not None and part.size > cursor else b""
            if not ended and len(data) < PART_BYTES:
                data = data[: data.rfind(b"\n") + 1]
            text += b"==> %s <==\n%s" % (name.encode(), data) if data else b""
            read[name] = cursor + len(data)
        stream.read = LogState(offset=stream.state.offset, **read)
        stream.pending = text

    async def _restore(self, run_key: str, offset: int) -> _Stream:
        try:
            state = LogState.model_validate_json(await self._blobs.read(self._records.log_key(run_key)))
        except BlobMissing:
            state = LogState()
        if state.offset > offset:  # somebody reads again from an earlier place: everything is made again
            state = LogState(offset=offset)
        return _Stream(state.model_copy(update={"offset": offset}), state, state)

    async def _save(self, run_key: str, stream: _Stream) -> None:
        if stream.state != stream.saved:
            content = stream.state.model_dump_json().encode()
            await self._blobs.write(self._records.log_key(run_key), content, replace=True)
            stream.saved = stream.state
