"""JARs on the JobManager: each uploaded once in its life, and removed by us alone."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from signalbox_chassis.blobs import BlobMissing, Blobs
from signalbox_chassis.runtime.clock import Clock
from signalbox_executor.engines.flink.answers import Jar, instant
from signalbox_executor.engines.flink.artifacts import StoredJar
from signalbox_executor.engines.flink.rest import Incarnation, JobManager

UPLOAD_SECONDS: Final = 600.0
_OURS: Final = re.compile(r"^signalbox-(?P<sha256>[0-9a-f]{64})\.jar$")


class Uploads:
    """What is uploaded to one JobManager, found by the names we give: another executor's uploads are used too."""

    def __init__(self, job_manager: JobManager, blobs: Blobs, clock: Clock, keep: timedelta) -> None:
        self._job_manager = job_manager
        self._blobs = blobs
        self._clock = clock
        self._keep = keep
        self._known: dict[tuple[str, str], str] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def jar_id(self, jar: StoredJar, incarnation: Incarnation) -> str:
        """The id of this JAR there, uploaded unless it is. Raises the port's errors, and `BlobMissing`."""
        known = self._known.get((incarnation.id, jar.sha256))
        if known is not None:
            return known
        async with self._locks.setdefault(jar.sha256, asyncio.Lock()):
            known = self._known.get((incarnation.id, jar.sha256))
            if known is None:
                known = await self._find_or_upload(jar)
                if len(self._known) > 1000:
                    self._known.clear()
                self._known[incarnation.id, jar.sha256] = known
        return known

    def forget(self, jar: StoredJar, incarnation: Incarnation) -> None:
        """The JobManager said that it does not have it."""
        self._known.pop((incarnation.id, jar.sha256), None)

    async def _remove_old(self, jars: Sequence[Jar], wanted: str) -> None:
        """Remove what we uploaded long ago. Flink needs a JAR only until its job is accepted."""
        before = self._clock.now() - self._keep
        for jar in jars:
            if _is_ours(jar) and jar.id != wanted and _uploaded_before(jar, before):
                await self._job_manager.delete_jar(jar.id)

    async def _find_or_upload(self, jar: StoredJar) -> str:
        jars = await self._job_manager.jars()
        jar_id = _find(jars, jar.sha256) or await self._upload(jar)
        await self._remove_old(jars, jar_id)
        return jar_id

    async def _upload(self, jar: StoredJar) -> str:
        if await self._blobs.size(jar.key) is None:
            raise BlobMissing(jar.key)
        content = self._blobs.stream(jar.key)
        return await self._job_manager.upload(f"signalbox-{jar.sha256}.jar", content, timeout_seconds=UPLOAD_SECONDS)


def _find(jars: Sequence[Jar], sha256: str) -> str | None:
    return next((jar.id for jar in jars if jar.name == f"signalbox-{sha256}.jar"), None)


def _is_ours(jar: Jar) -> bool:
    return _OURS.match(jar.name) is not None


def _uploaded_before(jar: Jar, moment: datetime) -> bool:
    uploaded = instant(jar.uploaded)
    return uploaded is not None and uploaded < moment
