"""Keeping logs: what attempts write goes to the blob store, masked, while they run and once more at their end.

A log is `logs/TASK/ATTEMPT/OFFSET.gz` chunks and at last `end.json`. A chunk that is there already was stored by a
worker that died before it said so: it is taken as it is, and the log goes on behind it.
"""

import asyncio
import gzip
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from signalbox_chassis import crash
from signalbox_chassis.blobs import BlobExists, Blobs
from signalbox_chassis.database import Database
from signalbox_executor.directory import Directory
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable, FetchesLogs, RemembersSecrets
from signalbox_executor.secrets import Mask, Secrets
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import logs
from signalbox_executor.store.logs import Copy

log = logging.getLogger(__name__)
CHUNK_BYTES: Final = 1024 * 1024
MOST_AT_ONCE: Final = 8
MOST_A_PASS: Final = 200


@dataclass
class LogKeeper:
    """Stores the logs of the engines this worker reaches."""

    database: Database
    directory: Directory
    secrets: Secrets
    blobs: Blobs
    settings: ExecutorSettings
    reachable: Callable[[], Sequence[str]]

    async def one_pass(self) -> bool:
        """Look at every log whose turn it is; True if there may be more."""
        engines = [id for id in self.reachable() if self.directory.get(id) is not None]
        if not engines:
            return False
        async with self.database.connection() as (connection, _):
            taken = await logs.take(
                connection,
                engines,
                most=MOST_A_PASS,
                every_seconds=self.settings.log_seconds,
                follow_seconds=self.settings.log_follow_seconds,
                lease_seconds=2 * self.settings.worker_lease_seconds,
            )
        at_once = asyncio.Semaphore(MOST_AT_ONCE)

        async def keep(copy: Copy) -> None:
            async with at_once:
                await self._keep(copy)

        for failure in await asyncio.gather(*(keep(copy) for copy in taken), return_exceptions=True):
            if isinstance(failure, EngineUnavailable | EngineThrottled | TimeoutError):
                log.debug("a log cannot be read now: %s", failure)  # its lease ends, and it is looked at again
            elif failure is not None:
                raise failure
        return len(taken) >= MOST_A_PASS

    async def _keep(self, copy: Copy) -> None:
        engine = self.directory.get(copy.engine_id)
        if not isinstance(engine, FetchesLogs):
            await self._done(copy)
            return
        mask = await self._mask(copy)
        offset, truncated, more = copy.bytes, copy.truncated, True
        while more:
            room = self.settings.log_most_bytes - offset
            if room <= 0:
                truncated, more = True, False
                continue
            async with asyncio.timeout(self.settings.engine_timeout_seconds):
                page = await engine.logs(copy.watched, offset=offset, limit=min(CHUNK_BYTES, room))
            truncated = truncated or page.offset > offset
            # while it runs, what may be the beginning of a secret waits for what follows; at its end nothing follows
            full = len(page.data) == min(CHUNK_BYTES, room)
            data = mask.clean(page.data, last=copy.ended and not full) if mask else page.data
            more, truncated = bool(data), truncated or (full and not data)
            if data:
                offset = page.offset + await self._store(copy, page.offset, data)
        async with self.database.connection() as (connection, _):
            await logs.kept(connection, copy, offset, truncated=truncated)
        if copy.ended:
            said = json.dumps({"bytes": offset, "truncated": truncated}).encode()
            await self.blobs.write(f"{copy.folder}/end.json", said, replace=True)
            await self._done(copy)

    async def _store(self, copy: Copy, offset: int, data: bytes) -> int:
        """How many bytes are stored from this offset on."""
        key = f"{copy.folder}/{offset:016d}.gz"
        packed = await asyncio.to_thread(gzip.compress, data, 6)
        try:
            await self.blobs.write(key, packed)
            crash.point("executor.log_stored")
            return len(data)
        except BlobExists:
            return len(gzip.decompress(await self.blobs.read(key)))

    async def _mask(self, copy: Copy) -> Mask:
        """The values the run was given, as the engine remembers them, and those its references stand for now."""
        if copy.work is None:
            return Mask(frozenset())
        engine, known = self.directory.get(copy.engine_id), await self.secrets.values(copy.work)
        if isinstance(engine, RemembersSecrets):
            known |= await engine.secrets(copy.watched)
        return Mask(known)

    async def _done(self, copy: Copy) -> None:
        async with self.database.connection() as (connection, _):
            await logs.done(connection, copy)
