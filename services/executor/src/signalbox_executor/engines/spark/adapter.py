"""A Spark standalone master behind the port.

Identity: the master gives drivers ids of its own and takes the same request twice as two drivers. With the start fence
the first driver that claims a run key has it and every other one ends without work. Without it a run is sent once at
most, and one whose answer was lost is looked up by the command of its driver.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.start_fence import StartFence
from signalbox_contracts.definitions.work import SparkWork
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.port import (
    ENDS,
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Submission,
    Watched,
)
from signalbox_executor.engines.spark.event_log import EventLogs
from signalbox_executor.engines.spark.lookup import DriverLookup
from signalbox_executor.engines.spark.master import Master
from signalbox_executor.engines.spark.observing import Runs
from signalbox_executor.engines.spark.progress import summarize
from signalbox_executor.engines.spark.records import RunRecords, blob_errors
from signalbox_executor.engines.spark.requests import Target
from signalbox_executor.engines.spark.run_logs import RunLogs
from signalbox_executor.engines.spark.sending import Sender, SendParts
from signalbox_executor.engines.spark.waiting import explain, explain_executors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneParts:
    """What one standalone engine is made of. Without `start_url` there is no fence."""

    target: Target
    master: Master
    blobs: Blobs
    clock: Clock
    start_url: str | None
    claim_seconds: float = 120.0
    event_logs: EventLogs | None = None


class StandaloneEngine:
    """One master."""

    def __init__(self, parts: StandaloneParts) -> None:
        self._name = parts.target.name
        self._master = parts.master
        self._fenced = parts.start_url is not None
        self._clock = parts.clock
        self._fence = StartFence(parts.blobs)
        self._records = RunRecords(parts.blobs, self._name)
        lookup = DriverLookup(parts.master)
        self._runs = Runs(
            self._name, parts.master, lookup, self._fence, self._records, parts.clock, parts.event_logs,
            parts.start_url,
        )  # fmt: skip
        self._logs = RunLogs(parts.master, self._records, parts.blobs)
        self._sender = Sender(
            SendParts(
                target=parts.target, master=parts.master, lookup=lookup, fence=self._fence, records=self._records,
                clock=parts.clock, start_url=parts.start_url, claim_seconds=parts.claim_seconds,
            )
        )  # fmt: skip

    @property
    def identity(self) -> Identity:
        return Identity.START_FENCE if self._fenced else Identity.NONE

    async def close(self) -> None:
        await self._sender.close()
        await self._master.close()

    async def submit(self, submission: Submission) -> Handle:
        """As the port says."""
        work = submission.work
        if not isinstance(work, SparkWork):
            raise EngineRefused(
                self._name, f"{work.kind!r} is not allowed: only 'spark' runs here", field="work.kind", value=work.kind
            )
        return await self._sender.send(submission, work)

    async def seal(self, watched: Watched) -> Handle | None:
        return await self._sender.seal(watched.run_key)

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """One call for all drivers the master remembers; more only where one ended or is missing."""
        return await self._runs.observe(watched) if watched else {}

    async def cancel(self, watched: Watched) -> None:
        """Kill the driver that has the key; one that ended stays as it ended."""
        snapshot = await self._runs.snapshot()
        with blob_errors(self._name):
            driver = await self._runs.driver_of(watched, snapshot)
            if driver is None:
                return
            await self._records.note_stop(watched.run_key, self._clock.now())
        await self._master.kill(driver)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        """What the driver wrote, as its worker shows it."""
        with blob_errors(self._name):
            snapshot = await self._runs.snapshot()
            driver = await self._runs.driver_of(watched, snapshot)
            worker_url = snapshot.worker_url(snapshot.drivers.get(driver or ""))
            if driver is None or not worker_url:
                return LogPage(offset, b"")
            seen = (await self._runs.observe([watched])).get(watched.run_key)
            ended = seen is not None and seen.phase in ENDS
            return await self._logs.page(watched.run_key, driver, worker_url, ended=ended, offset=offset, limit=limit)

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        """Jobs, stages and tasks, as the listener in each driver reports them, or else as its event log has them."""
        if not watched:
            return {}
        snapshot = await self._runs.snapshot()
        waiting, workers = snapshot.cluster.waiting_applications(), snapshot.workers.values()
        found: dict[str, Progress] = {}
        for run in watched:
            try:
                with blob_errors(self._name):
                    ended = await self._records.outcome(run.run_key) is not None
                    report = await self._runs.progress(run.run_key, ended=ended, snapshot=snapshot)
            except (EngineUnavailable, EngineThrottled) as error:
                log.warning("the progress of %s cannot be read now: %s", run.run_key, error)
                continue
            if report is not None:
                without_executors = waiting.get(report.application)
                waits = explain_executors(without_executors, workers) if without_executors else ""
                found[run.run_key] = summarize(report, waits)
        return found

    async def explain_waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        """Which memory and cores no worker has."""
        snapshot = await self._runs.snapshot()
        found: dict[str, str] = {}
        for run in watched:
            try:
                with blob_errors(self._name):
                    driver = snapshot.drivers.get(await self._runs.driver_of(run, snapshot) or "")
            except (EngineUnavailable, EngineThrottled) as error:
                log.warning("the reason why %s waits cannot be read now: %s", run.run_key, error)
                continue
            if driver is not None and driver.state == "SUBMITTED":
                found[run.run_key] = explain(driver, snapshot.workers.values())
        return found

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """Version, workers, and whether copies of a start are distinguished."""
        version, snapshot = await self._master.version(), await self._runs.snapshot()
        alive = [worker for worker in snapshot.workers.values() if worker.state == "ALIVE"]
        return {
            "api": "standalone",
            "version": version,
            "workers": len(alive),
            "cores": sum(worker.cores for worker in alive),
            "cores_free": sum(worker.coresfree for worker in alive),
            "memory_free_mib": sum(worker.memoryfree for worker in alive),
            "start_fence": self._fenced,
        }
