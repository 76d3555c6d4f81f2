"""Keeping logs: what attempts write goes to the blob store, masked, while they run and once more at their end.

A log is `logs/TASK/ATTEMPT/OFFSET.gz` chunks and at last `end.json`; a small one is a single `OFFSET.last.gz`. A chunk
that is there already was stored by a worker that died before it said so: it is taken as it is, and the log goes on
behind it. One that is damaged is stored again, so that it keeps no log unfinished.
"""

import asyncio
import gzip
import json
import logging
import zlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from signalbox_chassis.blobs import BlobExists, Blobs
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_executor import measurements
from signalbox_executor.engines.capabilities import FetchesLogs
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, LogPage
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.masking import Mask
from signalbox_executor.run_masks import mask_of_run
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import logs
from signalbox_executor.store.logs import Copy

log = logging.getLogger(__name__)
CHUNK_BYTES: Final = 1024 * 1024
SMALL_BYTES: Final = 65_536
LAST: Final = ".last"
"""In the name of a chunk that is a whole log: a thousand one-line logs are a thousand objects, not two thousand."""
MAX_AT_ONCE: Final = 8
MAX_A_PASS: Final = 200


@dataclass
class LogKeeper:
    """Stores the logs of the engines this worker reaches."""

    database: Database
    registry: EngineRegistry
    secrets: Secrets
    blobs: Blobs
    settings: ExecutorSettings
    reachable: Callable[[], Sequence[str]]

    async def one_pass(self) -> bool:
        """Look at every log whose turn it is; True if there may be more."""
        engines = [id for id in self.reachable() if self.registry.get(id) is not None]
        if not engines:
            return False
        async with self.database.connection() as connection:
            taken = await logs.take(
                connection,
                engines,
                limit=MAX_A_PASS,
                every_seconds=self.settings.log_seconds,
                follow_seconds=self.settings.log_follow_seconds,
                lease_seconds=2 * self.settings.worker_lease_seconds,
            )
        at_once = asyncio.Semaphore(MAX_AT_ONCE)
        failed = Counter[str]()

        async def keep(copy: Copy) -> None:
            async with at_once:
                if failed[copy.engine_id] >= MAX_AT_ONCE:  # it hangs, and the logs of others wait behind it
                    raise EngineUnavailable(copy.engine_id, "no log of it could be read in this pass")
                try:
                    await self._keep(copy)
                except (EngineUnavailable, TimeoutError):
                    failed[copy.engine_id] += 1
                    raise
                failed[copy.engine_id] = 0

        failures = await asyncio.gather(*map(keep, taken), return_exceptions=True)
        self._judge(taken, failures)
        return len(taken) >= MAX_A_PASS

    def _judge(self, taken: Sequence[Copy], failures: Sequence[BaseException | None]) -> None:
        """One log that cannot be kept stops no other: its lease ends, and it is looked at again.

        Where none could be kept the fault is not a log's: raises the first.
        """
        faults: list[Exception] = []
        for copy, failure in zip(taken, failures, strict=True):
            if isinstance(failure, EngineUnavailable | EngineThrottled | TimeoutError):
                log.debug("the log of task %s cannot be read now: %s", copy.task_id, failure)
            elif isinstance(failure, Exception):
                note_fault("logs", failure)
                faults.append(failure)
            elif failure is not None:
                raise failure
        if faults and len(faults) == len(taken):
            raise faults[0]

    async def _keep(self, copy: Copy) -> None:
        engine = self.registry.get(copy.engine_id)
        if not isinstance(engine, FetchesLogs):
            await self._done(copy)
            return
        mask = await self._mask(copy)
        offset, truncated, at_end = copy.bytes, copy.truncated, False
        head = self.settings.log_max_bytes - self._tail_bytes
        while not at_end and offset < head:
            begin, data, at_end = await self._page(copy, engine, mask, offset, min(CHUNK_BYTES, head - offset))
            truncated = truncated or begin > offset
            small = data and at_end and copy.ended and begin == 0 and len(data) <= SMALL_BYTES
            if small and not await self._has_pieces(copy):
                await self._store(copy, begin, data, suffix=LAST)  # a small log is one object, its end included
                await self._done(copy)
                return
            stored = await self._store(copy, begin, data) if data else 0
            # a piece that a dead worker stored may be shorter: the log goes on behind it
            offset, at_end = begin + stored, at_end and stored == len(data)
        if not copy.ended:
            async with self.database.connection() as connection:
                await logs.kept(connection, copy, offset, truncated=truncated)
        else:
            if not at_end:
                offset, starved = await self._keep_tail(copy, engine, mask, offset)
                truncated = truncated or starved
            end = json.dumps({"bytes": offset, "truncated": truncated}).encode()
            await self.blobs.write(f"{copy.folder}/end.json", end, replace=True)
            await self._done(copy)

    async def _has_pieces(self, copy: Copy) -> bool:
        """Whether a worker that died before it said so stored a piece: then the log goes on behind it."""
        return any(not blob.key.endswith(f"{LAST}.gz") for blob in await self.blobs.list(copy.folder))

    async def _keep_tail(self, copy: Copy, engine: FetchesLogs, mask: Mask, offset: int) -> tuple[int, bool]:
        """Store the last of a log that is longer than its head; where it ends, and whether anything was passed over."""
        kept: deque[tuple[int, bytes]] = deque()
        size, starved, at_end = 0, False, False
        while not at_end:
            begin, data, at_end = await self._page(copy, engine, mask, offset, min(CHUNK_BYTES, self._tail_bytes))
            starved, offset = starved or begin > offset, begin + len(data)
            if data:
                kept.append((begin, data))
                size += len(data)
            while kept and size - len(kept[0][1]) >= self._tail_bytes:
                size, starved = size - len(kept.popleft()[1]), True
        for at, data in kept:
            await self._store(copy, at, data)
        return offset, starved

    @property
    def _tail_bytes(self) -> int:
        return self.settings.log_max_bytes // 4

    async def _page(
        self, copy: Copy, engine: FetchesLogs, mask: Mask, offset: int, limit: int
    ) -> tuple[int, bytes, bool]:
        """Where what the engine has from this offset on begins, what of it can be stored, and whether it is all.

        What may be the beginning of a secret waits for what follows it. An engine's page may be short: only an empty
        one says that nothing follows.
        """
        page = await self._read(copy, engine, offset, limit)
        begin, raw, after_gap = page.offset, page.data, page.offset > offset
        while raw:
            if not mask and len(raw) >= limit:
                return begin, raw, False
            following = await self._read(copy, engine, begin + len(raw), limit)
            if following.offset > begin + len(raw):  # the engine let go of what followed
                return begin, await _clean(mask, raw, last=True, after_gap=after_gap, before_gap=True), False
            if not following.data:
                shown = await _clean(mask, raw, last=copy.ended, after_gap=after_gap)
                return begin if shown else offset, shown, True  # with nothing stored, the gap is still to be seen
            if shown := await _clean(mask, raw, last=False, after_gap=after_gap):
                return begin, shown, False
            raw += following.data
        return begin, b"", True

    async def _read(self, copy: Copy, engine: FetchesLogs, offset: int, limit: int) -> LogPage:
        with measurements.engine_request(copy.engine_id, "logs"):
            async with asyncio.timeout(self.settings.engine_timeout_seconds):
                return await engine.logs(copy.watched, offset=offset, limit=limit)

    async def _store(self, copy: Copy, offset: int, data: bytes, *, suffix: str = "") -> int:
        """How many bytes are stored from this offset on."""
        key = f"{copy.folder}/{offset:016d}{suffix}.gz"
        packed = await asyncio.to_thread(gzip.compress, data, 6)
        try:
            await self.blobs.write(key, packed)
            crash_points.point("executor.log_stored")
            return len(data)
        except BlobExists:
            stored = _unpacked_size(await self.blobs.read(key))
        if stored is not None:
            return stored
        log.warning("the piece %s is damaged: it is stored again", key)
        await self.blobs.write(key, packed, replace=True)
        return len(data)

    async def _mask(self, copy: Copy) -> Mask:
        """The values the run was given, as the engine remembers them, and those its references stand for now."""
        if copy.work is None:
            return Mask(frozenset())
        return await mask_of_run(self.secrets, self.registry.get(copy.engine_id), copy.watched, copy.work)

    async def _done(self, copy: Copy) -> None:
        async with self.database.connection() as connection:
            await logs.done(connection, copy)


def _unpacked_size(packed: bytes) -> int | None:
    """How many bytes a stored piece has; None if it is damaged: a piece is never empty."""
    try:
        return len(gzip.decompress(packed)) or None
    except (OSError, EOFError, zlib.error):  # BadGzipFile is an OSError
        return None


async def _clean(mask: Mask, data: bytes, *, last: bool, after_gap: bool, before_gap: bool = False) -> bytes:
    """`Mask.clean` in a thread: a secret of many lines takes a second for a page, and the loop goes on meanwhile."""
    if not mask:
        return data
    return await asyncio.to_thread(mask.clean, data, last=last, after_gap=after_gap, before_gap=before_gap)
