"""Progress of runs: what engines report beside a phase, published when it changed.

Progress is for people. It changes no state, and an engine that does not answer here loses nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.isolation import isolate, note_fault
from signalbox_contracts.messages.tasks import Phase, TaskProgress, TaskProgressData
from signalbox_executor.engines.capabilities import ExplainsWaiting, Progress, ReportsProgress
from signalbox_executor.engines.port import ENDS, Engine, EngineThrottled, EngineUnavailable, Observation, bounded
from signalbox_executor.facts import SOURCE
from signalbox_executor.store import observe
from signalbox_executor.store.observe import Watch

log = logging.getLogger(__name__)
EVERY_SECONDS: Final = 2.0
"""How often the progress of one engine's runs is asked for; of what has just ended at once."""
MAX_RUNS: Final = 100
"""Of so many runs at a time; the others have their turn in later passes."""
MAX_REMEMBERED: Final = 10_000


@dataclass
class ProgressReporter:
    """Publishes `task.progress`. It remembers what it published last: another executor may publish it once more."""

    database: Database
    timeout_seconds: float
    _published: dict[tuple[UUID, int], tuple[Progress, str]] = field(
        default_factory=dict[tuple[UUID, int], tuple[Progress, str]]
    )
    _queried_at: dict[UUID, float] = field(default_factory=dict[UUID, float])
    _due_at: dict[str, float] = field(default_factory=dict[str, float])

    async def report(
        self, engine_id: str, engine: Engine, watches: Sequence[Watch], seen: Mapping[str, Observation]
    ) -> None:
        """Ask how far these runs are, and publish what is new."""
        if not isinstance(engine, ReportsProgress | ExplainsWaiting):
            return
        chosen = self._choose(engine_id, watches, seen)
        if not chosen:
            return
        try:
            async with asyncio.timeout(self.timeout_seconds):
                found = await _ask(engine, chosen, seen)
        except (EngineUnavailable, EngineThrottled, TimeoutError) as error:
            log.debug("no progress of engine %s: %s", engine_id, error)
            return
        except Exception as error:  # it is for people, and must not cost the runs anything
            note_fault("progress", error)
            return
        news = [
            (watch, found[key])
            for watch in chosen
            if (key := watch.watched.run_key) in found
            and self._published.get((watch.task_id, watch.watched.attempt)) != found[key]
        ]
        await isolate(news, self._publish, part="progress")

    def _choose(self, engine_id: str, watches: Sequence[Watch], seen: Mapping[str, Observation]) -> list[Watch]:
        """What has just ended, and of the rest those that were asked for longest ago."""
        now = time.monotonic()
        ended = [watch for watch in watches if _phase(watch, seen) in ENDS]
        if self._due_at.get(engine_id, 0.0) > now:
            return ended[:MAX_RUNS]
        self._due_at[engine_id] = now + EVERY_SECONDS
        running = [watch for watch in watches if _phase(watch, seen) in (Phase.SUBMITTED, Phase.RUNNING)]
        running.sort(key=lambda watch: self._queried_at.get(watch.task_id, 0.0))
        chosen = [*ended, *running][:MAX_RUNS]
        if len(self._queried_at) > MAX_REMEMBERED:
            self._queried_at.clear()
        self._queried_at.update((watch.task_id, now) for watch in chosen)
        return chosen

    async def _publish(self, news: Sequence[tuple[Watch, tuple[Progress, str]]]) -> None:
        now = datetime.now(UTC)
        async with self.database.unit_of_work() as work:
            plans = await observe.plans_of(work.connection, [watch.task_id for watch, _ in news])
            for watch, (progress, waiting) in news:
                plan_id = plans.get(watch.task_id)
                if plan_id is None:
                    continue
                data = TaskProgressData(
                    plan_id=plan_id, task_id=watch.task_id, attempt=watch.watched.attempt,
                    sequence=int(now.timestamp() * 1000), at=now, fraction=progress.fraction,
                    message=bounded(progress.message), workers=progress.workers, steps=progress.steps,
                    waiting=bounded(waiting),
                )  # fmt: skip
                work.publish(
                    TaskProgress.of(data, subject=plan_id, source=SOURCE, time=now, aggregateversion=data.sequence)
                )
        if len(self._published) > MAX_REMEMBERED:
            self._published.clear()
        self._published.update(((watch.task_id, watch.watched.attempt), reported) for watch, reported in news)


async def _ask(
    engine: Engine, chosen: Sequence[Watch], seen: Mapping[str, Observation]
) -> dict[str, tuple[Progress, str]]:
    """Progress and reason to wait of each run the engine knows something of."""
    watched = [watch.watched for watch in chosen]
    progress: Mapping[str, Progress] = {}
    if isinstance(engine, ReportsProgress):
        progress = await engine.progress(watched)
    queued = [watch.watched for watch in chosen if _phase(watch, seen) is Phase.SUBMITTED]
    waiting: Mapping[str, str] = {}
    if queued and isinstance(engine, ExplainsWaiting):
        waiting = await engine.explain_waiting(queued)
    nothing = Progress()
    return {
        key: (progress.get(key, nothing), waiting.get(key, ""))
        for key in (one.run_key for one in watched)
        if key in progress or key in waiting
    }


def _phase(watch: Watch, seen: Mapping[str, Observation]) -> Phase | None:
    observation = seen.get(watch.watched.run_key)
    return observation.phase if observation is not None else None
