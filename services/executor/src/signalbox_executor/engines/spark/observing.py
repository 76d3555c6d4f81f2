"""What a master says of runs, as observations: one call for all, a second where one is missing or has ended."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from signalbox_chassis.blobs import BlobMissing, BlobStoreFailed
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.start_fence import RunProgress, StartFence
from signalbox_executor.engines.port import (
    EngineThrottled,
    EngineUnavailable,
    Observation,
    Phase,
    Watched,
    bounded,
    is_link,
)
from signalbox_executor.engines.spark.answers import Cluster, Driver, WorkerEntry
from signalbox_executor.engines.spark.event_log import EventLogs
from signalbox_executor.engines.spark.lookup import DriverLookup
from signalbox_executor.engines.spark.master import Master
from signalbox_executor.engines.spark.outcomes import ENDED, LIVE, Facts, Outcome, judge, without_command
from signalbox_executor.engines.spark.records import RunRecord, RunRecords, blob_errors

log = logging.getLogger(__name__)
YOUNG: Final = timedelta(seconds=20)
"""How long a run that was sent and has no driver yet counts as under way."""
TAIL_BYTES: Final = 16_384
MAX_CACHED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The master's list at one moment."""

    cluster: Cluster
    drivers: Mapping[str, Driver]
    workers: Mapping[str, WorkerEntry]
    applications: Mapping[str, str]
    """Ids by name."""

    def worker_url(self, driver: Driver | None) -> str:
        worker = self.workers.get((driver.worker if driver else None) or "")
        return worker.webuiaddress if worker else ""


class Runs:
    """The runs of one master."""

    def __init__(
        self, name: str, master: Master, lookup: DriverLookup, fence: StartFence, records: RunRecords,
        clock: Clock, event_logs: EventLogs | None = None, start_url: str | None = None,
    ) -> None:  # fmt: skip
        self._name = name
        self._master = master
        self._lookup = lookup
        self._fence = fence
        self._records = records
        self._clock = clock
        self._event_logs = event_logs
        self._start_url = start_url
        self._owners: dict[str, str] = {}

    async def snapshot(self) -> Snapshot:
        """The master's list now."""
        cluster = await self._master.cluster()
        return Snapshot(cluster, cluster.drivers(), cluster.worker_entries(), cluster.applications())

    async def observe(self, watched: Sequence[Watched]) -> dict[str, Observation]:
        """By run key. A run is left out where nothing is known of it just now."""
        snapshot = await self.snapshot()
        seen: dict[str, Observation] = {}
        for run in watched:
            try:
                with blob_errors(self._name):
                    found = await self._observe_one(run, snapshot)
            except (EngineUnavailable, EngineThrottled) as error:
                log.warning("what became of %s cannot be read now: %s", run.run_key, error)
                continue
            if found is not None:
                seen[run.run_key] = found
        return seen

    async def driver_of(self, run: Watched, snapshot: Snapshot) -> str | None:
        """The driver that has the key of a run; one whose submit got no answer is looked up."""
        known = self._owners.get(run.run_key)
        if known is not None:
            return known
        owner = await self._fence.owner(run.run_key)
        if owner is None:
            record = await self._records.load(run.run_key)
            if record is None:
                return None
            driver = await self._lookup.find(run.run_key, snapshot.cluster, record.sent_at)
            if driver is None:
                return None
            owner = await self._fence.take(run.run_key, driver, self._clock.now())
        if owner.run is not None:
            if len(self._owners) >= MAX_CACHED:
                self._owners.clear()
            self._owners[run.run_key] = owner.run
        return owner.run

    async def progress(self, run_key: str, *, ended: bool, snapshot: Snapshot | None = None) -> RunProgress | None:
        """How far an application is: by the listener in its driver, or else by its event log."""
        report = await self._fence.progress(run_key)
        if self._event_logs is None or (report is not None and (report.ended or not ended)):
            return report
        try:
            applications = (snapshot or await self.snapshot()).applications
            application = (report.application if report else "") or applications.get(run_key, "")
            return await self._event_logs.progress(application, ended=ended) or report
        except (BlobStoreFailed, BlobMissing) as error:  # it is for people: nothing waits for it
            log.warning("the event log of %s cannot be read: %s", run_key, error)
            return report

    async def _observe_one(self, run: Watched, snapshot: Snapshot) -> Observation | None:
        outcome = await self._records.outcome(run.run_key)
        if outcome is not None:
            return self._ended(run, outcome)
        driver = await self.driver_of(run, snapshot)
        record = await self._records.load(run.run_key)
        if driver is None or record is None:
            return await self._without_driver(run, record)
        entry = snapshot.drivers.get(driver)
        state = entry.state if entry is not None else ""
        if entry is None:  # it may be newer than the list
            status = await self._master.status(driver)
            state = (status.driver_state or "") if status is not None else ""
        if state in LIVE:
            return Observation(
                run_key=run.run_key, phase=LIVE[state], handle=driver, at=self._clock.now(),
                started_at=entry.started_at if entry else None, handle_url=self._link(driver, entry, snapshot),
            )  # fmt: skip
        if state and state not in ENDED:
            log.warning("driver %s is in state %r, which says nothing of it", driver, state)
            return None
        return await self._judged(run, record, driver, entry, state, snapshot)

    async def _judged(
        self, run: Watched, record: RunRecord, driver: str, entry: Driver | None, state: str, snapshot: Snapshot
    ) -> Observation:
        facts = await self._facts(run.run_key, record, driver, entry, state, snapshot)
        if facts.fenced and facts.started is None and state != "KILLED":
            # INVARIANT only a run that cannot begin any more is reported as one that ran nothing
            await self._fence.never_start(run.run_key, self._clock.now())
            facts = await self._facts(run.run_key, record, driver, entry, state, snapshot)
        verdict = judge(facts)
        if verdict.cause is None:
            return Observation(
                run_key=run.run_key, phase=verdict.phase, handle=driver, at=self._clock.now(), message=verdict.message,
                handle_url=self._link(driver, entry, snapshot),
            )  # fmt: skip
        now = self._clock.now()
        started_at = entry.started_at if entry else record.sent_at
        outcome = Outcome(
            phase=verdict.phase, cause=verdict.cause, message=verdict.message, result=verdict.result, handle=driver,
            started_at=started_at, ended_at=max(now, started_at or now),
            handle_url=self._link(driver, entry, snapshot),
        )  # fmt: skip
        return self._ended(run, await self._records.settle(run.run_key, outcome))

    async def _facts(
        self, run_key: str, record: RunRecord, driver: str, entry: Driver | None, state: str, snapshot: Snapshot
    ) -> Facts:
        fenced, message, output, progress = record.fenced, "", "", None
        if state == "ERROR":
            status = await self._master.status(driver)
            message = status.message if status is not None else ""
        end = await self._fence.end(run_key) if fenced else None
        if state == "FAILED" and not (end and end.error):
            output = await self._tail(snapshot.worker_url(entry), driver)
        if state == "FINISHED":
            progress = await self.progress(run_key, ended=True, snapshot=snapshot)
        return Facts(
            state=state, fenced=fenced, message=message, error_output=output, end=end, start_url=self._start_url,
            started=await self._fence.started(run_key) if fenced else None,
            progress=progress,
            stopped=await self._records.stop(run_key) is not None, allow_failed_jobs=record.allow_failed_jobs,
            now=self._clock.now(),
        )  # fmt: skip

    async def _tail(self, worker_url: str, driver: str) -> str:
        """The end of what a driver wrote, to `stderr` or else to `stdout`; empty where its worker does not show it."""
        if not worker_url:
            return ""
        try:
            for name in ("stderr", "stdout"):
                head = await self._master.log(worker_url, driver, name, 0, 1)
                start = max(0, (head.size if head else 0) - TAIL_BYTES)
                part = await self._master.log(worker_url, driver, name, start, TAIL_BYTES) if head else None
                text = without_command(part.data.decode(errors="replace")) if part else ""
                if text.strip():
                    return text
        except (EngineUnavailable, EngineThrottled):
            pass
        return ""

    async def _without_driver(self, run: Watched, record: RunRecord | None) -> Observation:
        now = self._clock.now()
        owner = await self._fence.owner(run.run_key)
        if owner is not None and owner.run is None:
            reason = f"nothing of it ran: {owner.reason}"
        elif record is None:
            reason = "nothing was sent under this key"
        elif now - record.sent_at < YOUNG:
            return Observation(run_key=run.run_key, phase=Phase.SUBMITTED, handle=run.handle, at=now)
        else:
            reason = "no driver of the master shows this key: it was not accepted, waits for a worker, or is forgotten"
        return Observation(run_key=run.run_key, phase=Phase.LOST, handle=None, at=now, message=bounded(reason))

    def _ended(self, run: Watched, outcome: Outcome) -> Observation:
        return Observation(
            run_key=run.run_key, phase=outcome.phase, cause=outcome.cause, message=outcome.message,
            result=outcome.result, handle=outcome.handle, at=self._clock.now(), started_at=outcome.started_at,
            ended_at=outcome.ended_at, handle_url=outcome.handle_url,
        )  # fmt: skip

    def _link(self, driver: str, entry: Driver | None, snapshot: Snapshot) -> str | None:
        worker = snapshot.worker_url(entry)
        url = f"{worker}/logPage/?driverId={driver}&logType=stderr" if worker else f"{self._master.web_url}/"
        return url if is_link(url) else None
