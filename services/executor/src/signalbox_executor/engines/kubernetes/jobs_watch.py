"""One stream that follows every Job of a namespace: list, then watch from the list's version, and list again on 410.

It runs while somebody asks. Between two connections its picture is old by moments; while no connection can be made it
says so, and never that a Job is gone.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from pydantic_core import from_json

from signalbox_chassis.runtime.backoff import backoff
from signalbox_chassis.runtime.tasks import cancel
from signalbox_executor.engines.kubernetes.api import ApiRefusal, KubernetesApi
from signalbox_executor.engines.kubernetes.job import Job, read_job
from signalbox_executor.engines.kubernetes.manifest import RUN_KEY
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable

log = logging.getLogger(__name__)
SELECTOR: Final = "app.kubernetes.io/managed-by=signalbox"
STREAM_SECONDS: Final = 240
"""How long the server keeps one stream; then it is opened anew from where it was."""
IDLE_SECONDS: Final = 100.0
"""A stream silent for so long is broken: the server sends a bookmark about once a minute."""
UNUSED_SECONDS: Final = 600.0
"""Nobody asked for so long: another executor observes this engine, and the stream ends."""
MAX_BACKOFF_SECONDS: Final = 10.0
MAX_LINE_BYTES: Final = 8 * 1024 * 1024


class ListAgain(Exception):
    """The server no longer knows the version we follow from."""


@dataclass
class JobsWatch:
    """`jobs` has every Job of ours by its run key, as of a moment ago."""

    api: KubernetesApi
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    relists: int = 0
    _task: asyncio.Task[None] | None = None
    _current: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: asyncio.Event = field(default_factory=asyncio.Event)
    _failure: Exception | None = None
    _used_at: float = 0.0

    async def current(self) -> dict[str, Job]:
        """The picture, once it is current. Raises `EngineUnavailable` or `EngineThrottled` if it cannot become so."""
        self._used_at = time.monotonic()
        if self._task is None or self._task.done():
            self._current.clear()
            self._failed.clear()
            self._task = asyncio.create_task(self._run(), name=f"watch jobs {self.api.name}")
        if not self._current.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self._current, self._failed)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(*waits)
        if not self._current.is_set():
            if isinstance(self._failure, EngineThrottled):
                raise EngineThrottled(self.api.name, self._failure.retry_after_seconds)
            raise EngineUnavailable(self.api.name, str(self._failure))
        return self.jobs

    async def stop(self) -> None:
        if self._task is not None:
            await cancel(self._task)
            self._task = None

    async def _run(self) -> None:
        failures = 0
        while time.monotonic() - self._used_at < UNUSED_SECONDS:
            try:
                version = await self._list()
                failures = 0
                self._failed.clear()
                self._current.set()
                await self._follow(version)
            except ListAgain:
                continue
            except (EngineUnavailable, EngineThrottled, ApiRefusal) as error:
                failures += 1
                self._failure = error
                self._current.clear()
                self._failed.set()
                await asyncio.sleep(0.05 + backoff(failures, first_seconds=0.2, max_seconds=MAX_BACKOFF_SECONDS))
        self._current.clear()

    async def _list(self) -> str:
        """Replace the picture by what is there now; the version to follow from."""
        self.relists += 1
        found: dict[str, Job] = {}
        version = ""
        async for page in self.api.pages(self.api.path("jobs"), labelSelector=SELECTOR):
            version = str(page.get("metadata", {}).get("resourceVersion", ""))
            for document in page.get("items", ()):
                self._put(found, document)
        self.jobs = found
        return version

    async def _follow(self, version: str) -> None:
        """Apply what changes until the stream breaks (`EngineUnavailable`) or nobody asks any more."""
        while time.monotonic() - self._used_at < UNUSED_SECONDS:
            query = {
                "labelSelector": SELECTOR, "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version,
                "timeoutSeconds": int(STREAM_SECONDS * random.uniform(0.8, 1.2)),
            }  # fmt: skip
            try:
                async with self.api.stream(self.api.path("jobs"), idle_seconds=IDLE_SECONDS, **query) as response:
                    async for line in lines(response):
                        version = self._apply(from_json(line)) or version
            except ApiRefusal as refusal:
                if refusal.code == 410:
                    raise ListAgain from refusal
                raise

    def _apply(self, event: dict[str, Any]) -> str:
        """One event of the stream; the version it stands for."""
        kind, document = event.get("type"), event.get("object", {})
        if kind == "ERROR":
            if document.get("code") == 410:
                raise ListAgain
            raise EngineUnavailable(self.api.name, f"the stream of Jobs broke: {str(document.get('message'))[:500]}")
        metadata = document.get("metadata", {})
        if kind == "DELETED":
            key = str(metadata.get("labels", {}).get(RUN_KEY))
            if (job := self.jobs.get(key)) is not None and job.uid == metadata.get("uid"):
                del self.jobs[key]
        elif kind != "BOOKMARK":
            self._put(self.jobs, document)
        return str(metadata.get("resourceVersion", ""))

    def _put(self, jobs: dict[str, Job], document: dict[str, Any]) -> None:
        """A Job that cannot be read hides no other: it is asked for by name when its turn comes."""
        try:
            job = read_job(document)
        except ValueError as error:
            log.warning("a Job of engine %s cannot be read: %s", self.api.name, error)
            return
        known = jobs.get(job.run_key)
        if not job.runs_as and (known is None or not known.sealed or known.uid == job.uid):
            jobs[job.run_key] = job


async def lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """The lines of a stream. Raises ValueError for one that is too long to be an object."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        *complete, last = rest.split(b"\n")
        for line in complete:
            if line.strip():
                yield bytes(line)
        rest = bytearray(last)
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
