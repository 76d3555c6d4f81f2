"""Submits claimed tasks: intent, submit, record. Each step is small and guarded by the row.

Whatever ends a submit half way (a kill, a lost answer of the database, a bug), the row holds how far it came. The
self-sweep or a take-over goes on from there with the same run key.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from prometheus_client import Gauge

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability import telemetry
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.backoff import backoff
from signalbox_chassis.runtime.isolation import describe_fault, note_fault, storable
from signalbox_chassis.runtime.tasks import cancel
from signalbox_chassis.runtime.test_signals import signals
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.plans import WaitReason
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TaskState
from signalbox_executor import facts, measurements
from signalbox_executor.engines.capabilities import Seals
from signalbox_executor.engines.port import (
    Engine,
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Identity,
    Submission,
    Watched,
    WorldChanged,
    bounded,
)
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.group_commit import GroupCommitter
from signalbox_executor.lifecycle import Outcome, Verdict, budget, retry_delay
from signalbox_executor.masking import Mask
from signalbox_executor.run_masks import mask_message
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.spans import SpanBudget
from signalbox_executor.store import engines, finish, submit
from signalbox_executor.store.claim import Claim

log = logging.getLogger(__name__)
MAX_HANDLE_LENGTH = 1024
"""Characters, as the contract of a task has it."""
_SUBMITTING = Gauge("signalbox_tasks_submitting", "Tasks this worker is submitting")


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Send again after so long. `copies`: how many copies of the submit the last try added to those on their way."""

    seconds: float
    copies: int


@dataclass
class Submitter:
    """Submits claimed tasks, each in a coroutine of its own, at most one a task."""

    database: Database
    registry: EngineRegistry
    settings: ExecutorSettings
    tracing: Telemetry
    on_recorded: Callable[[str, Sequence[UUID]], None] = lambda engine_id, task_ids: None
    """Called with an engine and the tasks that were just recorded to run there."""
    secrets: Secrets = field(default_factory=Secrets)
    spans: SpanBudget = field(default_factory=SpanBudget)
    in_progress: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, "asyncio.Task[None]"])

    def __post_init__(self) -> None:
        self._records = GroupCommitter(self._record_all, max_items=500)

    @property
    def free(self) -> int:
        """How many more tasks may be taken."""
        return self.settings.max_submitting - len(self.in_progress)

    async def intend(self, connection: Connection, claims: Sequence[Claim]) -> list[Claim]:
        """Write the intent of those not sent yet; returns what may be submitted once that has committed.

        Claim and intent may share a transaction: that only leaves out what could happen between them.
        """
        fresh = [(claim.task.id, claim.task.fence) for claim in claims if claim.task.state is TaskState.CLAIMED]
        if not fresh:
            return list(claims)
        crash_points.point("executor.claimed")
        intended = set(await submit.intend(connection, fresh))
        return [claim for claim in claims if claim.task.state is TaskState.SUBMITTING or claim.task.id in intended]

    def submit_all(self, claims: Sequence[Claim]) -> None:
        """Submit what is intended, each in a coroutine of its own."""
        if claims:
            crash_points.point("executor.after_intent")
        for claim in claims:
            if claim.task.id not in self.in_progress:
                self._start(claim, may_have_arrived=claim.task.state is TaskState.SUBMITTING)

    async def drop(self) -> None:
        """Stop in_progress anything: none of it is ours any more."""
        await cancel(*self.in_progress.values())
        await self._records.settle()

    def _start(self, claim: Claim, *, may_have_arrived: bool) -> None:
        task = asyncio.create_task(self._run(claim, may_have_arrived), name=f"submit {claim.task.id}")
        self.in_progress[claim.task.id] = task
        _SUBMITTING.set(len(self.in_progress))
        task.add_done_callback(lambda ended: self._ended(claim, ended))

    def _ended(self, claim: Claim, ended: asyncio.Task[None]) -> None:
        del self.in_progress[claim.task.id]
        _SUBMITTING.set(len(self.in_progress))
        signals.fire("submit.ended")
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("the submit of %s ended half way: %r; the sweep goes on with it", claim.task.id, error)

    async def _run(self, claim: Claim, may_have_arrived: bool) -> None:
        engine = self.registry.get(claim.task.engine_id)
        if engine is None:
            return
        with self._span(claim):
            attempt = SubmitAttempt(self, claim, engine, may_have_arrived)
            await (attempt.refuse(claim.fault) if claim.fault else attempt.run())

    def _span(self, claim: Claim) -> AbstractContextManager[Any]:
        """In the trace of the task, whoever submits it: a take-over adds a span beside the one that was cut off."""
        if not self.tracing.recording or not self.spans.allows(claim.traceparent):
            return nullcontext()
        return self.tracing.tracer.start_as_current_span(
            f"submit {claim.task.engine_id}",
            context=telemetry.extract({"traceparent": claim.traceparent or ""}),
            attributes=_attributes(claim),
        )

    async def recorded(self, claim: Claim, handle: str) -> None:
        crash_points.point("executor.before_record")
        await self._records.add((claim, handle))
        crash_points.point("executor.recorded")

    async def _record_all(self, started: Sequence[tuple[Claim, str]]) -> None:
        async with self.database.unit_of_work() as work:
            recorded = set(
                await submit.record(
                    work.connection, [(claim.task.id, claim.task.fence, handle) for claim, handle in started]
                )
            )
            await engines.answered(work.connection, [claim.task.engine_id for claim, _ in started])
        by_engine: defaultdict[str, list[UUID]] = defaultdict(list)
        for claim, _ in started:
            if claim.task.id in recorded:
                by_engine[claim.task.engine_id].append(claim.task.id)
        for engine_id, ids in by_engine.items():
            self.on_recorded(engine_id, ids)


def _checked(handle: Handle) -> Handle:
    """Raise ValueError for a handle that no row can hold: in a transaction of many it would cost them all."""
    if storable(handle) != handle or not 0 < len(handle) <= MAX_HANDLE_LENGTH:
        raise ValueError(f"a handle of {len(handle)} characters that cannot be recorded: {bounded(repr(handle))}")
    return handle


def _attributes(claim: Claim) -> dict[str, str | int]:
    task = claim.task
    return {"task.id": str(task.id), "task.attempt": task.attempt, "task.fence": task.fence}


class SubmitAttempt:
    """One submit of one task: sends until there is an answer that settles it."""

    def __init__(self, submitter: Submitter, claim: Claim, engine: Engine, may_have_arrived: bool) -> None:
        self._submitter = submitter
        self._claim = claim
        self._engine = engine
        self._unclear = may_have_arrived
        self._failures = 0
        task = claim.task
        self._key = run_key(task.id, task.attempt)
        self._watched = Watched(self._key, task.attempt)
        self._mask = Mask(frozenset())
        """Of the values that were sent: engines repeat what they refuse."""
        self._submission = Submission(
            run_key=self._key,
            task_id=task.id,
            attempt=task.attempt,
            work=claim.spec.work,
            time_limit_seconds=claim.spec.time_limits.running_seconds,
            traceparent=claim.traceparent,
            labels=claim.spec.labels,
            target=claim.spec.target,
            target_version=claim.spec.target_version,
            step=claim.spec.step,
        )

    async def refuse(self, fault: str) -> None:
        """End the attempt without a submit: what it is to do cannot be read. UNKNOWN where a copy may be on its way."""
        reason = f"its work cannot be read: {fault}"
        await self._settle(self._unknown(reason) if self._unclear else self._attempt_result(EndCause.REFUSED, reason))

    async def run(self) -> None:
        wait = Resubmit(0.0, 1) if self._unclear else None
        while True:
            if wait is not None and not await self._wait(wait):
                return
            wait = await self._send()
            if wait is None:
                return

    async def _wait(self, wait: Resubmit) -> bool:
        """Wait before the next copy; False if the task is settled, or not ours any more.

        An engine may ask for an hour: a cancel or a time limit of the task is seen meanwhile.
        """
        left, longest = wait.seconds, self._submitter.settings.resend_seconds
        while left > longest:
            await asyncio.sleep(longest)
            left -= longest
            if not await self._may_send_again(0):
                return False
        await asyncio.sleep(left)
        return await self._may_send_again(wait.copies)

    async def _may_send_again(self, copies: int) -> bool:
        """Count the copy that is about to leave; False if the task is settled, or not ours any more."""
        if self._unclear and self._engine.identity is Identity.NONE:
            await self._settle(self._unknown("it may have been started, and the engine cannot tell"))
            return False
        async with self._submitter.database.connection() as connection:
            row = await submit.raise_sends(connection, self._claim.task.id, self._claim.task.fence, copies=copies)
        if row is None:
            return False
        crash_points.point("executor.counted")
        if row.to_stop or row.overdue:
            cause = EndCause.CANCELLED if row.to_stop else EndCause.TIMED_OUT
            if isinstance(self._engine, Seals):
                await self._seal(self._engine, cause, "not started before it was to end")
                return False
            if row.overdue:
                await self._settle(self._unknown("no answer to its submit within the time limit"))
                return False
        return True

    async def _send(self) -> Resubmit | None:
        """Submit once. None: the task is settled, one way or another."""
        engine_id, settings = self._claim.task.engine_id, self._submitter.settings
        try:
            with measurements.engine_request(engine_id, "submit"):
                async with asyncio.timeout(settings.engine_timeout_seconds):
                    submission = await self._submitter.secrets.fill(replace(self._submission, resent=self._unclear))
                    self._mask = Mask(frozenset(submission.secrets))
                    handle = _checked(await self._engine.submit(submission))
        except EngineRefused as refused:
            await self._refused(refused)
            return None
        except EngineThrottled as throttled:
            return await self._throttled(throttled)
        except (EngineUnavailable, TimeoutError) as error:
            return await self._unavailable(error)
        except Exception as error:
            if classify(error) is not Failure.LASTING:
                raise
            note_fault("submits", error)
            return await self._not_understood(error)
        await self._submitter.recorded(self._claim, handle)
        return None

    async def _throttled(self, throttled: EngineThrottled) -> Resubmit:
        """Send again when the engine allows it, and show until when."""
        crash_points.point("executor.throttled")
        seconds = throttled.retry_after_seconds * random.uniform(1.0, 1.2)
        await self._show_reason(WaitReason.ENGINE_THROTTLED, mask_message(self._mask, str(throttled)), seconds)
        return Resubmit(seconds, copies=0)

    async def _show_reason(self, why: WaitReason, detail: str, seconds: float | None = None) -> None:
        task = self._claim.task
        async with self._submitter.database.unit_of_work() as work:
            changed = await submit.write_reason(
                work.connection, task.id, task.fence, why, detail, seconds=seconds
            )  # fmt: skip
            facts.publish_changes(work, changed)

    async def _unavailable(self, error: Exception) -> Resubmit:
        crash_points.point("executor.no_answer")
        arrived = not isinstance(error, EngineUnavailable) or error.may_have_arrived
        return await self._again(str(error) or "no answer in time", arrived=arrived, silent=True)

    async def _not_understood(self, error: Exception) -> Resubmit:
        """A submit that fails for a reason of ours: shown like silence, and it says nothing of the engine."""
        return await self._again(f"its answer cannot be understood: {describe_fault(error)}", arrived=True)

    async def _again(self, reason: str, *, arrived: bool, silent: bool = False) -> Resubmit:
        """Send again after a while, and show why. `silent`: the engine itself does not answer."""
        self._unclear = self._unclear or arrived
        self._failures += 1
        reason = mask_message(self._mask, reason)
        await self._show_reason(WaitReason.ENGINE_UNREACHABLE, reason)
        if silent:
            async with self._submitter.database.connection() as connection:
                await engines.failed(connection, self._claim.task.engine_id, reason)
        seconds = 0.02 + backoff(self._failures, first_seconds=0.2, max_seconds=self._submitter.settings.resend_seconds)
        return Resubmit(seconds, copies=1 if arrived else 0)

    async def _refused(self, refused: EngineRefused) -> None:
        """The end of the attempt if no other copy can be on its way; else the key is sealed, or the task is UNKNOWN."""
        crash_points.point("executor.refused")
        reason = mask_message(self._mask, str(refused))
        cause = EndCause.CHANGED if isinstance(refused, WorldChanged) else EndCause.REFUSED
        if refused.sealed:
            await self._settle(self._attempt_result(cause, reason))
            return
        async with self._submitter.database.unit_of_work() as work:
            tasks = await finish.write_rejected(work.connection, self._attempt_result(cause, reason))
            facts.publish_changes(work, tasks)
        if not tasks and isinstance(self._engine, Seals):
            await self._seal(self._engine, cause, reason)
        elif not tasks:
            await self._settle(self._unknown(f"refused, but an earlier copy may still arrive: {reason}"))

    async def _seal(self, engine: Seals, cause: EndCause, reason: str) -> None:
        """Make the key unusable: then the attempt is over. If it runs after all, adopt it."""
        engine_id, seconds = self._claim.task.engine_id, self._submitter.settings.engine_timeout_seconds
        with measurements.engine_request(engine_id, "seal"):
            async with asyncio.timeout(seconds):
                handle = await engine.seal(self._watched)
        crash_points.point("executor.sealed")
        if handle is None:
            await self._settle(self._attempt_result(cause, reason))
        else:
            await self._submitter.recorded(self._claim, handle)

    async def _settle(self, result: finish.AttemptResult) -> None:
        async with self._submitter.database.unit_of_work() as work:
            facts.publish_changes(work, await finish.write_settled(work.connection, result))

    def _attempt_result(self, cause: EndCause, reason: str) -> finish.AttemptResult:
        task, retries = self._claim.task, self._claim.spec.retries
        tries = max(1, task.attempt - task.infrastructure_faults)
        verdict = Verdict(
            outcome=Outcome.OVER,
            phase=Phase.LOST,
            cause=cause,
            budget=budget(cause, None, retries),
            delay_seconds=retry_delay(tries, retries, chance=random.random()),
            reason=bounded(reason),
        )
        return finish.AttemptResult(task_id=task.id, attempt=task.attempt, fence=task.fence, verdict=verdict)

    def _unknown(self, reason: str) -> finish.AttemptResult:
        task = self._claim.task
        verdict = Verdict(outcome=Outcome.UNKNOWN, phase=Phase.LOST, reason=bounded(reason))
        return finish.AttemptResult(task_id=task.id, attempt=task.attempt, fence=task.fence, verdict=verdict)
