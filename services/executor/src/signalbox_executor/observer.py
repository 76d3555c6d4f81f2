"""Observes runs: one observer per engine, which also stops what is to stop.

Each engine has a pass of its own: one that hangs or is down delays no other.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from signalbox_chassis.messaging.transient import Failure, classify
from signalbox_chassis.observability import telemetry
from signalbox_chassis.observability.telemetry import Telemetry
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import describe_fault, isolate, note_fault
from signalbox_chassis.runtime.loops import FAILING_PASSES, FailureStreak
from signalbox_chassis.runtime.tasks import cancel
from signalbox_chassis.runtime.test_signals import signals
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.ids import task_of_run_key
from signalbox_contracts.messages.tasks import Phase
from signalbox_contracts.states import TASK_ENDS, TASKS_HOLDING_A_SLOT
from signalbox_executor import facts, measurements
from signalbox_executor.engines.capabilities import ExplainsWaiting, NotifiesEnds
from signalbox_executor.engines.port import (
    ENDS,
    Engine,
    EngineThrottled,
    EngineUnavailable,
    Observation,
    Watched,
    bounded,
)
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.lifecycle import judge
from signalbox_executor.membership import Membership
from signalbox_executor.progress import ProgressReporter
from signalbox_executor.run_masks import ReportMasker
from signalbox_executor.secrets import Secrets
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.spans import SpanBudget
from signalbox_executor.store import engines, finish, observe, stop, waiting, workers
from signalbox_executor.store.engines import Registered
from signalbox_executor.store.rows import Task
from signalbox_executor.store.stop import Stop

log = logging.getLogger(__name__)
MAX_STOPS = 200
MAX_EXPLAINED = 200
"""Runs of one pass whose engine is asked why they have not begun."""
STOPS_AT_ONCE = 20
ENGINE_ERRORS: Final = (EngineUnavailable, EngineThrottled, TimeoutError)
"""What says something of the engine, not of one run."""
_FIRST = UUID(int=0)
FIRST_POLL_SECONDS = 0.02
"""How soon after their record runs are polled; then after twice as long, and so on."""
LONE_POLL_SECONDS = 0.005
"""How soon a run is polled that was recorded alone: the next step of a chain may wait for its end."""
ONLY_ONCE = float("inf")
"""The pace of a run that is polled one more time: its engine says when it ends."""
GATHER_SECONDS = 0.005
"""Runs that are due so soon are polled together."""


class RecentRun(NamedTuple):
    """A run recorded a moment ago: when it is polled next (monotonic clock), and how long the last wait was."""

    due: float
    pace: float


@dataclass
class Observer:
    """Observes the engines whose lease this worker gets."""

    database: Database
    registry: EngineRegistry
    member: Membership
    settings: ExecutorSettings
    tracing: Telemetry
    wakes: WakeUps
    spans: SpanBudget = field(default_factory=SpanBudget)
    secrets: Secrets = field(default_factory=Secrets)
    _recent: dict[str, dict[UUID, RecentRun]] = field(default_factory=dict[str, "dict[UUID, RecentRun]"])
    _fences: dict[str, tuple[int, float]] = field(default_factory=dict[str, "tuple[int, float]"])
    _alarm: asyncio.TimerHandle | None = None
    _passes: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])
    _due: dict[str, float] = field(default_factory=dict[str, float])
    _progress: ProgressReporter = field(init=False)
    _masker: ReportMasker = field(init=False)
    _stops_sent: dict[str, dict[str, float]] = field(default_factory=dict[str, "dict[str, float]"])
    """When the stop of a run was last sent, by engine and run key: as long as the run is to stop."""
    _streaks: dict[str, FailureStreak] = field(default_factory=dict[str, FailureStreak])

    def __post_init__(self) -> None:
        self._progress = ProgressReporter(self.database, self.settings.engine_timeout_seconds)
        self._masker = ReportMasker(self.database, self.secrets)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self._recent.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        await cancel(*self._passes.values())

    @property
    def troubles(self) -> Mapping[str, str]:
        """The engines whose passes keep failing for a reason of ours, not of the engine's."""
        return {streak.name: streak.trouble for streak in self._streaks.values() if streak.trouble}

    def recorded(self, engine_id: str, task_ids: Sequence[UUID]) -> None:
        """Poll these soon, and then less and less often until the engine's own interval is reached.

        Where the engine says when a run ends it is polled soon once: the notice may have come before the record.
        """
        recent_runs = self._recent.setdefault(engine_id, {})
        first = LONE_POLL_SECONDS if len(task_ids) == 1 and not recent_runs else FIRST_POLL_SECONDS
        due = time.monotonic() + first
        pace = ONLY_ONCE if isinstance(self.registry.get(engine_id), NotifiesEnds) else first
        recent_runs.update((id, RecentRun(due, pace)) for id in task_ids)
        self._set_alarm()

    def _end_noticed(self, engine_id: str, run_key: str) -> None:
        """The engine says that this run is over: poll it now."""
        task_id, _ = task_of_run_key(run_key)
        self._recent.setdefault(engine_id, {})[task_id] = RecentRun(time.monotonic(), ONLY_ONCE)
        self._set_alarm()

    async def one_pass(self) -> None:
        """Begin the pass of every engine that is due and has none under way."""
        now = time.monotonic()
        for engine in list(self.member.registered.values()):
            if engine.id in self._passes or not engine.may_ask:
                continue
            if self._due.get(engine.id, 0.0) <= now:
                self._due[engine.id] = now + engine.definition.observe_every_seconds * random.uniform(0.9, 1.1)
                self._begin(engine, self._poll_engine)
            elif any(recent.due <= now for recent in self._recent.get(engine.id, {}).values()):
                self._begin(engine, self.poll_recent)
        self._set_alarm()

    def _begin(self, engine: Registered, what: Callable[[Registered, Engine], Awaitable[None]]) -> None:
        adapter = self.registry.get(engine.id)
        if adapter is None:
            return
        if isinstance(adapter, NotifiesEnds):
            adapter.on_end(partial(self._end_noticed, engine.id))
        task = asyncio.create_task(self._pass(engine, adapter, what), name=f"observe {engine.id}")
        self._passes[engine.id] = task
        task.add_done_callback(lambda ended, id=engine.id: self._ended(id, ended))

    def _set_alarm(self) -> None:
        """Wake the loop when the next recent run is due; the loop itself comes round often enough for all else."""
        dues = [
            min(recent.due for recent in runs.values())
            for engine_id, runs in self._recent.items()
            if runs and engine_id not in self._passes
        ]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if dues:
            wait = max(0.001, min(dues) - time.monotonic())
            self._alarm = asyncio.get_running_loop().call_later(wait, self.wakes.of("observe"))

    def _ended(self, engine_id: str, ended: asyncio.Task[None]) -> None:
        del self._passes[engine_id]
        signals.fire("observe.ended")
        self._set_alarm()
        if ended.cancelled():
            return
        streak = self._streaks.setdefault(engine_id, FailureStreak(f"observe {engine_id}"))
        if (error := ended.exception()) is not None:
            streak.failed(error)
            log.error("pass over engine %s failed: %r", engine_id, error)
        else:
            streak.succeeded()

    async def _pass(
        self, engine: Registered, adapter: Engine, what: Callable[[Registered, Engine], Awaitable[None]]
    ) -> None:
        try:
            await what(engine, adapter)
        except EngineThrottled as throttled:
            self._due[engine.id] = time.monotonic() + throttled.retry_after_seconds
            self._recent.pop(engine.id, None)
        except (EngineUnavailable, TimeoutError) as error:
            self._recent.pop(engine.id, None)
            async with self.database.connection() as connection:
                await engines.failed(connection, engine.id, str(error) or "no answer in time")
        except Exception as error:
            await self._show_failure(engine.id, error)
            raise

    async def _show_failure(self, engine_id: str, error: Exception) -> None:
        """A pass that fails for a reason of ours: the engine says so, and once it keeps failing its runs do."""
        if classify(error) is not Failure.LASTING:
            return
        reason = f"its runs cannot be observed: {describe_fault(error)}"
        streak = self._streaks.get(engine_id)
        async with self.database.unit_of_work() as work:
            await engines.note_error(work.connection, engine_id, reason)
            if streak is not None and streak.failures >= FAILING_PASSES - 1:
                ids = await waiting.running_on(work.connection, engine_id)
                facts.publish_changes(work, await waiting.save_stranded(work.connection, ids, f"{reason}; on "))

    async def _poll_engine(self, engine: Registered, adapter: Engine) -> None:
        """Poll everything that runs there and stop what is to stop. Where nothing runs this is one cheap query."""
        async with self.database.connection() as connection:
            if not await observe.runs_something(connection, engine.id):
                return
        fence = await self._acquire(engine.id)
        if fence is not None:
            await self.poll_all(engine.id, adapter, fence)
            await self.stop_runs(engine.id, adapter)

    async def poll_recent(self, engine: Registered, adapter: Engine) -> None:
        """Poll the runs that were recorded a moment ago: most short ones have ended by then."""
        soon = time.monotonic() + GATHER_SECONDS
        recent_runs = self._recent[engine.id]
        due = {id: recent_runs.pop(id) for id, recent in list(recent_runs.items()) if recent.due <= soon}
        fence = await self._fence_for_recent(engine.id)
        if fence is None:
            return
        async with self.database.connection() as connection:
            watches = await observe.watched_of(
                connection, engine.id, list(due), unknown_seconds=self.settings.unknown_seconds
            )
        if not watches:
            return
        seen = await self._ask(engine.id, adapter, watches)
        if not await self._write(engine.id, fence, watches, seen):
            return
        now = time.monotonic()
        for watch in watches:
            answer, pace = seen.get(watch.watched.run_key), due[watch.task_id].pace * 2
            if (answer is None or answer.phase not in ENDS) and pace < engine.definition.observe_every_seconds:
                recent_runs[watch.task_id] = RecentRun(now + pace, pace)

    async def _fence_for_recent(self, engine_id: str) -> int | None:
        """The fence of the last pass while the lease is fresh: the write compares it with the row anyway."""
        fence, until = self._fences.get(engine_id, (0, 0.0))
        return fence if until > time.monotonic() else await self._acquire(engine_id)

    async def _acquire(self, engine_id: str) -> int | None:
        seconds = self.settings.engine_lease_seconds
        until = time.monotonic() + seconds / 3
        async with self.database.unit_of_work() as work:
            if not await workers.is_live(work.connection, self.member.id):
                return None
            fence = await observe.acquire(work.connection, engine_id, self.member.id, lease_seconds=seconds)
            crash_points.point("executor.acquiring")
        if fence is not None:
            self._fences[engine_id] = (fence, until)
        return fence

    async def _ask(
        self, engine_id: str, adapter: Engine, watches: Sequence[observe.Watch]
    ) -> Mapping[str, Observation]:
        """What the engine reports. A run whose report cannot be understood is LOST, and the others are as reported."""
        crash_points.point("executor.watching")
        seen: dict[str, Observation] = {}

        async def observe_some(some: Sequence[observe.Watch]) -> None:
            with measurements.engine_request(engine_id, "observe"):
                async with asyncio.timeout(self.settings.engine_timeout_seconds):
                    seen.update(await adapter.observe([watch.watched for watch in some]))

        for faulty in await isolate(watches, observe_some, part="observe", raised=ENGINE_ERRORS):
            seen[faulty.item.watched.run_key] = not_understood(faulty.item.watched, faulty.reason)
        crash_points.point("executor.seen")
        async with asyncio.timeout(self.settings.engine_timeout_seconds):
            return await self._masker.clean(adapter, watches, seen)

    async def poll_all(self, engine_id: str, adapter: Engine, fence: int) -> None:
        """Poll everything that runs on the engine: read the rows, then ask the engine, then write."""
        after, polled = _FIRST, False
        while watches := await self._rows(engine_id, after):
            seen = await self._ask(engine_id, adapter, watches)
            polled = True
            if not await self._write(engine_id, fence, watches, seen):
                return
            await self._progress.report(engine_id, adapter, watches, seen)
            if isinstance(adapter, ExplainsWaiting):
                await self._explain(engine_id, adapter, fence, watches, seen)
            after = watches[-1].task_id
            if len(watches) < self.settings.observe_batch:
                break
        if polled:
            async with self.database.connection() as connection:
                await engines.answered(connection, [engine_id])

    async def _explain(
        self,
        engine_id: str,
        adapter: ExplainsWaiting,
        fence: int,
        watches: Sequence[observe.Watch],
        seen: Mapping[str, Observation],
    ) -> None:
        """Write why runs that were accepted have not begun. Not to know it harms nothing."""
        pending = [
            watch
            for watch in watches
            if (answer := seen.get(watch.watched.run_key)) is not None and answer.phase is Phase.SUBMITTED
        ][:MAX_EXPLAINED]
        if not pending:
            return
        try:
            async with asyncio.timeout(self.settings.engine_timeout_seconds):
                reasons = await adapter.explain_waiting([watch.watched for watch in pending])
        except (EngineUnavailable, EngineThrottled, TimeoutError) as error:
            log.debug("why runs on %s have not begun is not known: %s", engine_id, error)
            return
        except Exception as error:  # it is for people, and must not cost the runs anything
            note_fault("explain", error)
            return
        known = {watch.task_id: bounded(reason) for watch in pending if (reason := reasons.get(watch.watched.run_key))}
        if not known:
            return
        async with self.database.unit_of_work() as work:
            if await observe.holds(work.connection, engine_id, self.member.id, fence):
                facts.publish_changes(work, await waiting.write_pending(work.connection, known))

    async def _rows(self, engine_id: str, after: UUID) -> list[observe.Watch]:
        async with self.database.connection() as connection:
            return await observe.watched(
                connection,
                engine_id,
                after=after,
                limit=self.settings.observe_batch,
                unknown_seconds=self.settings.unknown_seconds,
            )

    async def _write(
        self, engine_id: str, fence: int, watches: Sequence[observe.Watch], seen: Mapping[str, Observation]
    ) -> bool:
        """Write what changed; False if the engine is another's by now. What cannot be written ends with the reason."""
        results = [
            result for watch in watches if (result := _result_of(watch, seen.get(watch.watched.run_key))) is not None
        ]
        held = True

        async def write_some(some: Sequence[finish.AttemptResult]) -> None:
            nonlocal held
            held = held and await self._write_together(engine_id, fence, some)

        faulty = await isolate(results, write_some, part="observations")
        plain = [finish.without_content(one.item, one.reason) for one in faulty]
        await isolate(plain, write_some, part="observations without content")
        return held

    async def _write_together(self, engine_id: str, fence: int, results: Sequence[finish.AttemptResult]) -> bool:
        async with self.database.unit_of_work() as work:
            if not await observe.holds(work.connection, engine_id, self.member.id, fence):
                self._fences.pop(engine_id, None)
                return False
            changed = await finish.write_observed(work.connection, results)
            facts.publish_changes(work, changed, ended=results)
            over = [task for task in changed if task.state not in TASKS_HOLDING_A_SLOT]
            if over:
                work.on_commit(lambda: measurements.ended(over))
                crash_points.point("executor.ending")
                work.on_commit(lambda: crash_points.point("executor.finished"))
                work.on_commit(self.wakes.of("claim"))
        self._trace_ends(changed)
        return True

    def _trace_ends(self, changed: Sequence[Task]) -> None:
        """A span for each end, in the trace of its task: whoever started the run, and whoever sees its end."""
        for task in changed if self.tracing.recording else ():
            if task.state in TASK_ENDS and self.spans.allows(task.traceparent):
                began = task.started_at or task.submitted_at or task.state_at
                span = self.tracing.tracer.start_span(
                    "end",
                    context=telemetry.extract({"traceparent": task.traceparent or ""}),
                    attributes={
                        "task.id": str(task.id),
                        "task.state": task.state.value,
                        "task.attempt": task.attempt,
                        "task.ran_seconds": round((task.state_at - began).total_seconds(), 3),
                    },
                )
                span.end()

    async def stop_runs(self, engine_id: str, adapter: Engine) -> None:
        """Record which runs are to stop, then ask the engine; again every `stop_seconds` until they are seen ended."""
        async with self.database.unit_of_work() as work:
            intended = await stop.intend_stops(work.connection, engine_id, limit=MAX_STOPS)
            stubborn = await stop.give_up_stopping(work.connection, engine_id)
            facts.publish_changes(work, [*intended, *stubborn])
        crash_points.point("executor.stop_intended")
        async with self.database.connection() as connection:
            stops = await stop.stopping(connection, engine_id)
        due = self._due_stops(engine_id, stops)
        sent = self._stops_sent[engine_id]
        at_once = asyncio.Semaphore(STOPS_AT_ONCE)

        async def ask(one: Stop) -> None:
            async with at_once:
                sent[one.watched.run_key] = time.monotonic()
                with measurements.engine_request(engine_id, "cancel"):
                    async with asyncio.timeout(self.settings.engine_timeout_seconds):
                        await adapter.cancel(one.watched)
            crash_points.point("executor.stop_sent")

        unavailable: BaseException | None = None
        for failure in await asyncio.gather(*map(ask, due), return_exceptions=True):
            if isinstance(failure, ENGINE_ERRORS):
                unavailable = failure
            elif isinstance(failure, Exception):
                note_fault("stops", failure)  # sent again with the others of its kind, not in every pass
            elif failure is not None:
                raise failure
        if unavailable is not None:
            raise unavailable

    def _due_stops(self, engine_id: str, stops: Sequence[Stop]) -> list[Stop]:
        """The stops to send now, those that were sent longest ago first: runs that never end hide no other."""
        keys = {one.watched.run_key for one in stops}
        known = self._stops_sent.get(engine_id, {})
        sent = self._stops_sent[engine_id] = {key: at for key, at in known.items() if key in keys}
        before = time.monotonic() - self.settings.stop_seconds
        due = [one for one in stops if sent.get(one.watched.run_key, -math.inf) <= before]
        return sorted(due, key=lambda one: sent.get(one.watched.run_key, -math.inf))[:MAX_STOPS]


def not_understood(watched: Watched, reason: str) -> Observation:
    """A run whose report failed by itself: nobody knows what became of it, and the reason is shown."""
    return Observation(
        run_key=watched.run_key, phase=Phase.LOST, handle=None, at=datetime.now(UTC),
        message=bounded(f"its report cannot be understood: {reason}"),
    )  # fmt: skip


def _result_of(watch: observe.Watch, seen: Observation | None) -> finish.AttemptResult | None:
    """What is to be written of one run; nothing for a key the engine left out of its answer."""
    if seen is None:
        return None
    try:
        verdict = judge(watch.run, seen, chance=random.random())
    except (ValueError, TypeError, OverflowError) as error:
        note_fault("observations", error)
        return None
    if verdict is None:
        return None
    return finish.AttemptResult(
        task_id=watch.task_id,
        attempt=watch.watched.attempt,
        verdict=verdict,
        handle=seen.handle or watch.watched.handle,
        handle_url=seen.handle_url,
        exit_code=seen.exit_code,
        result=seen.result,
        started_at=seen.started_at,
        silent=seen.log_bytes == 0,
    )
