"""The logs of a Job: what all its pods write, as one text with byte offsets.

Readers of one run come with growing offsets, and what is read lies in memory until they come for it. A reader that
starts elsewhere (after a restart) makes the text be read again from its beginning.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from signalbox_executor.engines.kubernetes.api import ApiRefusal, KubernetesApi
from signalbox_executor.engines.kubernetes.inspection import Inspector
from signalbox_executor.engines.kubernetes.job import Job
from signalbox_executor.engines.kubernetes.log_merge import FOREVER, Source, Time, merge, since
from signalbox_executor.engines.kubernetes.pods import Pod
from signalbox_executor.engines.port import LogPage

MAX_READERS: Final = 200
FETCHES_AT_ONCE: Final = 16
FETCH_BYTES: Final = 1024 * 1024
MAX_FETCH_BYTES: Final = 16 * 1024 * 1024
ALL_FETCHES_BYTES: Final = 32 * 1024 * 1024
MIN_FETCH_BYTES: Final = 65_536
HOLD_BACK: Final[Time] = 4_000_000_000
"""What a container wrote is in its log, and a container that runs is reported, within this time."""
PULL_SECONDS: Final = 0.5


@dataclass
class Reader:
    """The text of one run from `base` on."""

    base: int = 0
    text: bytearray = field(default_factory=bytearray)
    sources: dict[tuple[str, str], Source] = field(default_factory=dict[tuple[str, str], Source])
    pulled_at: float = 0.0
    complete: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def end(self) -> int:
        return self.base + len(self.text)

    def drop(self, offset: int) -> None:
        """Forget what lies before the offset."""
        count = min(max(0, offset - self.base), len(self.text))
        del self.text[:count]
        self.base += count


@dataclass
class PodLogs:
    """Readers by run key, the one used last at the end."""

    api: KubernetesApi
    inspector: Inspector
    _readers: OrderedDict[str, Reader] = field(default_factory=OrderedDict[str, Reader])
    _fetches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FETCHES_AT_ONCE))

    async def page(self, job: Job, offset: int, limit: int) -> LogPage:
        """At most `limit` bytes from `offset` on. Raises the port's errors."""
        reader = self._readers.get(job.uid)
        if reader is None or offset < reader.base or offset > reader.end:
            reader = Reader()
        self._readers[job.uid] = reader
        self._readers.move_to_end(job.uid)
        while len(self._readers) > MAX_READERS:
            self._readers.popitem(last=False)
        async with reader.lock:
            while reader.end < offset + limit:
                reader.drop(offset)
                if not await self._pull(reader, job):
                    break
            reader.drop(offset)
            return LogPage(max(offset, reader.base), bytes(reader.text[:limit]) if reader.base >= offset else b"")

    async def _pull(self, reader: Reader, job: Job) -> bool:
        """Read on in every container; True if there may be more at once."""
        if reader.complete or (not job.ended and time.monotonic() - reader.pulled_at < PULL_SECONDS):
            return False
        pods = await self.inspector.pods(job.name)
        listed_at = _now()
        for pod in pods:
            for container in pod.containers:
                reader.sources.setdefault((pod.name, container), _source(job, pod, container))
        open_pods = {pod.name: pod for pod in pods}
        due = [source for source in reader.sources.values() if not source.ended and len(source.waiting) == 0]
        size = max(MIN_FETCH_BYTES, min(FETCH_BYTES, ALL_FETCHES_BYTES // max(1, len(due))))
        taken = await asyncio.gather(*(self._fetch(one, open_pods.get(one.pod), size, listed_at) for one in due))
        merged = merge(reader.sources.values(), self._until(job, listed_at))
        reader.text += merged
        reader.complete = job.ended and all(one.ended and not one.waiting for one in reader.sources.values())
        if not any(taken) and not merged:
            reader.pulled_at = time.monotonic()
            return False
        return True

    @staticmethod
    def _until(job: Job, listed_at: Time) -> Time:
        """A pod that was listed as not started may write already: the kubelet reports it a little later."""
        return FOREVER if job.ended or not job.indexed else listed_at - HOLD_BACK

    async def _fetch(self, source: Source, pod: Pod | None, size: int, listed_at: Time) -> int:
        """What the container wrote since the last time; how many lines are new."""
        if pod is None:
            source.ended = True
            return 0
        path = self.api.path("pods", source.pod, "log")
        query: dict[str, str | int] = {"container": source.container, "timestamps": "true"}
        if source.last:
            query["sinceTime"] = since(source.last)
        while True:
            try:
                async with self._fetches:
                    body = await self.api.text(path, limitBytes=size, **query)
            except ApiRefusal as refusal:
                if refusal.code == 404:
                    source.ended = True
                return 0  # 400: the container has not started
            cut = len(body) >= size
            until = listed_at - HOLD_BACK if source.badge else FOREVER
            taken = source.take(body, cut=cut, until=until, ended=pod.ended)
            if taken or not cut or size >= MAX_FETCH_BYTES:
                return taken
            size *= 4  # more than that was written in the second of the last line


def _source(job: Job, pod: Pod, container: str) -> Source:
    """With a badge where the reader must see who wrote a line."""
    index = job.index(pod.completion)
    parts = ([str(index)] if job.indexed else []) + ([container] if len(pod.containers) > 1 else [])
    badge = f"[{'/'.join(parts)}] ".encode() if parts else b""
    return Source(pod.name, container, (pod.completion, pod.name, container), badge)


def _now() -> Time:
    return time.time_ns()
