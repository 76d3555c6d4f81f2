"""Livy behind the port.

Identity: a batch's name is the run key, and Livy refuses a name that it holds. It forgets names when it restarts and
some time after a batch ended, so a run is sent again only while a batch that was there before the first send still is:
then this Livy did not restart since.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pydantic import JsonValue

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.definitions.work import SparkWork
from signalbox_contracts.messages.tasks import EndCause
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Phase,
    Submission,
    Watched,
    bounded,
    is_link,
)
from signalbox_executor.engines.spark.livy import CAUSES, PHASES, Batch, Livy, batch_request, check_batch
from signalbox_executor.engines.spark.outcomes import Outcome, root_cause
from signalbox_executor.engines.spark.records import RunRecord, RunRecords, Witness, blob_errors

log = logging.getLogger(__name__)
NAMES_HELD: Final = timedelta(seconds=300)
"""How long Livy surely holds the name of a batch: half of its `livy.server.session.state-retain.sec`."""
YOUNG: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivyParts:
    """What one Livy engine is made of."""

    name: str
    livy: Livy
    blobs: Blobs
    clock: Clock
    conf: Mapping[str, str]


class LivyEngine:
    """One Livy."""

    def __init__(self, parts: LivyParts) -> None:
        self._name = parts.name
        self._livy = parts.livy
        self._clock = parts.clock
        self._conf = parts.conf
        self._records = RunRecords(parts.blobs, parts.name)

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    async def close(self) -> None:
        await self._livy.close()

    async def submit(self, submission: Submission) -> Handle:
        """As the port says. The handle is the batch's name."""
        work = submission.work
        if not isinstance(work, SparkWork):
            raise EngineRefused(
                self._name, f"{work.kind!r} is not allowed: only 'spark' runs here", field="work.kind", value=work.kind
            )
        check_batch(work, self._name)
        with blob_errors(self._name):
            return await self._submit(submission.run_key, work)

    async def _submit(self, key: str, work: SparkWork) -> Handle:
        batches = await self._livy.batches()
        newest = max(batches.values(), key=lambda batch: batch.id, default=None)
        witness = Witness(id=newest.id, name=newest.name or "") if newest else None
        record = RunRecord(run_key=key, sent_at=self._clock.now(), fenced=False, witness=witness)
        created = await self._records.create(record)
        if not created:
            known = await self._records.load(key)
            if known is not None and known.sealed:
                raise EngineRefused(self._name, "the key is sealed", sealed=True)
            if known is None or key in batches or await self._records.outcome(key) or not self._holds(known, batches):
                return key  # `observe` finds what became of it, or that Livy forgot it
        crash_points.point("spark.recorded")
        try:
            await self._livy.create(batch_request(work, key, self._conf))
        except (EngineUnavailable, EngineThrottled, EngineRefused) as error:
            if created and (not isinstance(error, EngineUnavailable) or not error.may_have_arrived):
                await self._records.forget(key)
            raise
        crash_points.point("spark.answered")
        return key

    def _holds(self, record: RunRecord, batches: Mapping[str, Batch]) -> bool:
        """Whether a batch of this name would surely be refused had it been accepted before."""
        seen = batches.get(record.witness.name) if record.witness else None
        same = seen is not None and record.witness is not None and seen.id == record.witness.id
        return same and self._clock.now() - record.sent_at < NAMES_HELD

    async def seal(self, watched: Watched) -> Handle | None:
        """None: nothing was sent under this key, and nothing will be."""
        record = RunRecord(run_key=watched.run_key, sent_at=self._clock.now(), fenced=False, sealed=True)
        with blob_errors(self._name):
            if await self._records.create(record):
                return None
            known = await self._records.load(watched.run_key)
        return None if known is not None and known.sealed else watched.run_key

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        """A call for each hundred batches that Livy holds."""
        if not watched:
            return {}
        batches = await self._livy.batches()
        seen: dict[str, Observation] = {}
        for run in watched:
            try:
                with blob_errors(self._name):
                    found = await self._observe_one(run, batches.get(run.run_key))
            except (EngineUnavailable, EngineThrottled) as error:
                log.warning("what became of %s cannot be read now: %s", run.run_key, error)
                continue
            if found is not None:
                seen[run.run_key] = found
        return seen

    async def _observe_one(self, run: Watched, batch: Batch | None) -> Observation | None:
        now = self._clock.now()
        outcome = await self._records.outcome(run.run_key)
        if outcome is not None:
            return self._ended(run, outcome)
        record = await self._records.load(run.run_key)
        if batch is None:
            if record is not None and not record.sealed and now - record.sent_at < YOUNG:
                return Observation(run_key=run.run_key, phase=Phase.SUBMITTED, handle=run.handle, at=now)
            reason = "Livy holds no batch of this name: it restarted, forgot a batch that ended, or was never sent one"
            return Observation(run_key=run.run_key, phase=Phase.LOST, handle=None, at=now, message=reason)
        phase = PHASES.get(batch.state)
        if phase is None:
            log.warning("batch %s is in state %r, which is not known", run.run_key, batch.state)
            return None
        if phase not in CAUSES:
            started = record.sent_at if record else None
            return Observation(
                run_key=run.run_key, phase=phase, handle=run.run_key, at=now, started_at=started,
                handle_url=self._link(batch),
            )  # fmt: skip
        return self._ended(run, await self._settle(run, batch, phase, record))

    async def _settle(self, run: Watched, batch: Batch, phase: Phase, record: RunRecord | None) -> Outcome:
        """Keep the end of a batch; the one that was kept first counts."""
        cause, message = CAUSES[phase], ""
        stopped = await self._records.stop(run.run_key) is not None
        if phase is not Phase.SUCCEEDED and stopped:
            phase, cause = Phase.KILLED, EndCause.CANCELLED
        elif phase is Phase.FAILED:
            message = bounded(root_cause(await self._livy.log(run.run_key) or "its log is empty"))
        elif phase is Phase.KILLED:
            message = "killed by somebody"
        now = self._clock.now()
        started = record.sent_at if record else now
        outcome = Outcome(
            phase=phase, cause=cause, message=message, handle=run.run_key, started_at=started,
            ended_at=max(now, started), handle_url=self._link(batch),
        )  # fmt: skip
        return await self._records.settle(run.run_key, outcome)

    def _ended(self, run: Watched, outcome: Outcome) -> Observation:
        return Observation(
            run_key=run.run_key, phase=outcome.phase, cause=outcome.cause, message=outcome.message,
            handle=outcome.handle, at=self._clock.now(), started_at=outcome.started_at, ended_at=outcome.ended_at,
            handle_url=outcome.handle_url,
        )  # fmt: skip

    async def cancel(self, watched: Watched) -> None:
        """End the batch. Livy forgets it with that, so its end is kept here; one that ended stays as it ended."""
        batch = await self._livy.batch(watched.run_key)
        if batch is None:
            return
        with blob_errors(self._name):
            phase = PHASES.get(batch.state)
            if phase is not None and phase in CAUSES:
                await self._settle(watched, batch, phase, await self._records.load(watched.run_key))
                return
            await self._records.note_stop(watched.run_key, self._clock.now())
            if await self._livy.delete(watched.run_key):
                record = await self._records.load(watched.run_key)
                await self._settle(watched, batch, Phase.KILLED, record)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        """What Livy keeps of a batch that ended: its last lines. Before that they move."""
        batch = await self._livy.batch(watched.run_key)
        if batch is None or PHASES.get(batch.state) not in CAUSES:
            return LogPage(offset, b"")
        text = (await self._livy.log(watched.run_key)).encode()
        return LogPage(offset, text[offset : offset + limit])

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """Livy's version and how many batches it holds."""
        return {"api": "livy", "version": await self._livy.version(), "batches": len(await self._livy.batches())}

    def _link(self, batch: Batch) -> str | None:
        url = f"{self._livy.url}/ui/batch/{batch.id}/log"
        return url if is_link(url) else None
