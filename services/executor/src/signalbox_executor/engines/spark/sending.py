"""Sending drivers: the record, the claim's secret, one create request, then the owner of the key.

Crash points: `spark.recorded` before the call, `spark.answered` after the master accepted.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.start_fence import Owner, StartFence
from signalbox_contracts.definitions.work import SparkWork
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Submission,
)
from signalbox_executor.engines.spark.lookup import DriverLookup
from signalbox_executor.engines.spark.master import Master
from signalbox_executor.engines.spark.records import RunRecord, RunRecords, blob_errors
from signalbox_executor.engines.spark.requests import Fenced, Target, check, create_request

NOT_SHOWN: Final = "it may have been sent, and no driver of the master shows its run key"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendParts:
    """What sending needs. Without `start_url` there is no fence."""

    target: Target
    master: Master
    lookup: DriverLookup
    fence: StartFence
    records: RunRecords
    clock: Clock
    start_url: str | None
    claim_seconds: float


class Sender:
    """Sends runs to one master. One send of a key is under way at a time."""

    def __init__(self, parts: SendParts) -> None:
        self._parts = parts
        self._name = parts.target.name
        self._sending: dict[str, asyncio.Task[Handle]] = {}

    async def close(self) -> None:
        for task in list(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def send(self, submission: Submission, work: SparkWork) -> Handle:
        """Make sure the run was sent; its driver. Raises the port's errors."""
        check(work, self._name)
        key = submission.run_key
        task = self._sending.get(key)
        if task is None:
            task = self._sending[key] = asyncio.create_task(self._send(submission, work), name=f"send {key}")
            task.add_done_callback(lambda ended: self._sent(key, ended))
        return await asyncio.shield(task)

    async def seal(self, run_key: str) -> Handle | None:
        """None: no driver has the key, and none ever will. Otherwise the driver that has it."""
        parts, now = self._parts, self._parts.clock.now()
        with blob_errors(self._name):
            fenced = parts.start_url is not None
            if not fenced and not await parts.records.create(RunRecord(run_key=run_key, sent_at=now, fenced=False)):
                owner = await parts.fence.owner(run_key) or await self._found(run_key)
                if owner is None:
                    raise EngineUnavailable(self._name, NOT_SHOWN)
                return owner.run
            return (await parts.fence.seal(run_key, "it was given up before it began", now)).run

    def _sent(self, key: str, ended: asyncio.Task[Handle]) -> None:
        self._sending.pop(key, None)
        if not ended.cancelled():
            ended.exception()  # whoever still waits gets it; nobody may

    async def _send(self, submission: Submission, work: SparkWork) -> Handle:
        with blob_errors(self._name):
            return await self._send_once(submission, work)

    async def _send_once(self, submission: Submission, work: SparkWork) -> Handle:
        parts, key = self._parts, submission.run_key
        owner = await parts.fence.owner(key)
        if owner is not None:
            return self._driver(owner)
        fenced = parts.start_url is not None
        record = RunRecord(
            run_key=key, sent_at=parts.clock.now(), fenced=fenced, allow_failed_jobs=work.allow_failed_jobs
        )
        created = await parts.records.create(record)
        if not created:
            owner = await parts.fence.owner(key) or await self._found(key)
            if owner is not None:
                return self._driver(owner)
            if not fenced:
                raise EngineUnavailable(self._name, NOT_SHOWN)
        crash_points.point("spark.recorded")
        try:
            return await self._create(submission, work)
        except (EngineUnavailable, EngineThrottled, EngineRefused) as error:
            surely_not = not isinstance(error, EngineUnavailable) or not error.may_have_arrived
            if created and surely_not and not getattr(error, "sealed", False):
                await parts.records.forget(key)
            raise

    async def _create(self, submission: Submission, work: SparkWork) -> Handle:
        parts, key = self._parts, submission.run_key
        fenced = None
        if parts.start_url is not None:
            secret = await parts.fence.open_send(key, parts.clock.now())
            fenced = Fenced(parts.start_url, secret, parts.claim_seconds)
        driver = await parts.master.create(create_request(work, key, parts.target, fenced))
        crash_points.point("spark.answered")
        owner = await parts.fence.take(key, driver, parts.clock.now())
        if owner.run != driver:  # the fence keeps it from its work: this only spares the cluster its start
            with suppress(EngineUnavailable, EngineThrottled):
                await parts.master.kill(driver)
        return self._driver(owner)

    async def _found(self, run_key: str) -> Owner | None:
        """The owner of a key whose submit got no answer, if its driver is found at the master."""
        record = await self._parts.records.load(run_key)
        if record is None:
            return None
        driver = await self._parts.lookup.find(run_key, await self._parts.master.cluster(), record.sent_at)
        return await self._parts.fence.take(run_key, driver, self._parts.clock.now()) if driver else None

    def _driver(self, owner: Owner) -> Handle:
        if owner.run is None:
            raise EngineRefused(self._name, f"the key is sealed: {owner.reason}", sealed=True)
        return owner.run
