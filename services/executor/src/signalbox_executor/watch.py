"""Watching what runs: per engine one observer, which also asks to stop what is to stop.

An engine that hangs or is down holds up nobody but itself: each has a pass of its own.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from signalbox_chassis import crash
from signalbox_chassis.database import Database
from signalbox_chassis.signals import signals
from signalbox_chassis.tasks import cancel
from signalbox_executor import facts
from signalbox_executor.directory import Directory
from signalbox_executor.engines.port import Engine, EngineThrottled, EngineUnavailable, Observation
from signalbox_executor.lifecycle import judge
from signalbox_executor.loops import Worker
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import engines, observe, over, stop, workers
from signalbox_executor.store.engines import Registered

log = logging.getLogger(__name__)
MOST_STOPS = 200
STOPS_AT_ONCE = 20
_FIRST = UUID(int=0)


@dataclass
class Watcher:
    """Observes the engines whose lease this worker gets."""

    database: Database
    directory: Directory
    worker: Worker
    settings: ExecutorSettings
    _passes: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])
    _due: dict[str, float] = field(default_factory=dict[str, float])
    _asked: dict[tuple[UUID, int], float] = field(default_factory=dict[tuple[UUID, int], float])

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        await cancel(*self._passes.values())

    async def one_pass(self) -> None:
        """Begin the pass of every engine that is due and has none under way."""
        now = time.monotonic()
        for engine in list(self.worker.registered.values()):
            if engine.id in self._passes or not engine.may_ask or self._due.get(engine.id, 0.0) > now:
                continue
            self._due[engine.id] = now + engine.definition.observe_every_seconds * random.uniform(0.9, 1.1)
            task = asyncio.create_task(self._watch(engine), name=f"watch {engine.id}")
            self._passes[engine.id] = task
            task.add_done_callback(lambda ended, id=engine.id: self._ended(id, ended))

    def _ended(self, engine_id: str, ended: asyncio.Task[None]) -> None:
        del self._passes[engine_id]
        signals.fire("watch.ended")
        if not ended.cancelled() and (error := ended.exception()) is not None:
            log.error("pass over engine %s failed: %r", engine_id, error)

    async def _watch(self, engine: Registered) -> None:
        adapter = self.directory.get(engine.id)
        if adapter is None:
            return
        fence = await self._acquire(engine.id)
        if fence is None:
            return
        try:
            await self.look(engine.id, adapter, fence)
            await self.stop_runs(engine.id, adapter)
        except EngineThrottled as throttled:
            self._due[engine.id] = time.monotonic() + throttled.retry_after_seconds
        except (EngineUnavailable, TimeoutError) as error:
            async with self.database.connection() as (connection, _):
                await engines.failed(connection, engine.id, str(error) or "no answer in time")

    async def _acquire(self, engine_id: str) -> int | None:
        async with self.database.unit_of_work() as work:
            if not await workers.is_live(work.connection, self.worker.id):
                return None
            return await observe.acquire(
                work.connection, engine_id, self.worker.id, lease_seconds=self.settings.engine_lease_seconds
            )

    async def look(self, engine_id: str, adapter: Engine, fence: int) -> None:
        """Ask about everything that runs on the engine: the rows first, then the engine, then the writes."""
        after, asked = _FIRST, False
        while watches := await self._rows(engine_id, after):
            crash.point("executor.watching")
            async with asyncio.timeout(self.settings.engine_timeout_seconds):
                seen = await adapter.observe([watch.watched for watch in watches])
            crash.point("executor.seen")
            asked = True
            if not await self._write(engine_id, fence, watches, seen):
                return
            after = watches[-1].task_id
            if len(watches) < self.settings.observe_batch:
                break
        if asked:
            async with self.database.connection() as (connection, _):
                await engines.answered(connection, [engine_id])

    async def _rows(self, engine_id: str, after: UUID) -> list[observe.Watch]:
        async with self.database.connection() as (connection, _):
            return await observe.watched(
                connection,
                engine_id,
                after=after,
                most=self.settings.observe_batch,
                unknown_seconds=self.settings.unknown_seconds,
            )

    async def _write(
        self, engine_id: str, fence: int, watches: Sequence[observe.Watch], seen: Mapping[str, Observation]
    ) -> bool:
        """Write what changed; False if the engine is another's by now."""
        endings = [
            ending for watch in watches if (ending := _ending(watch, seen.get(watch.watched.run_key))) is not None
        ]
        if not endings:
            return True
        async with self.database.unit_of_work() as work:
            if not await observe.holds(work.connection, engine_id, self.worker.id, fence):
                return False
            facts.publish_changes(work, await over.write_observed(work.connection, endings))
        crash.point("executor.finished")
        return True

    async def stop_runs(self, engine_id: str, adapter: Engine) -> None:
        """Record which runs are to stop, then ask the engine; again every `stop_seconds` until they are seen ended."""
        async with self.database.unit_of_work() as work:
            intended = await stop.intend_stops(work.connection, engine_id, most=MOST_STOPS)
            stubborn = await stop.give_up_stopping(work.connection, engine_id)
            facts.publish_changes(work, [*intended, *stubborn])
        crash.point("executor.stop_intended")
        async with self.database.connection() as (connection, _):
            stops = await stop.stopping(connection, engine_id, most=MOST_STOPS)
        now = time.monotonic()
        self._asked = {key: at for key, at in self._asked.items() if at > now - self.settings.stop_seconds}
        due = [one for one in stops if (one.task_id, one.watched.attempt) not in self._asked]
        at_once = asyncio.Semaphore(STOPS_AT_ONCE)

        async def ask(one: stop.Stop) -> None:
            async with at_once, asyncio.timeout(self.settings.engine_timeout_seconds):
                await adapter.cancel(one.watched)
            self._asked[one.task_id, one.watched.attempt] = time.monotonic()

        for failure in await asyncio.gather(*(ask(one) for one in due), return_exceptions=True):
            if failure is not None:
                raise failure


def _ending(watch: observe.Watch, seen: Observation | None) -> over.Ending | None:
    """What is to be written of one run; nothing for a key the engine left out of its answer."""
    verdict = judge(watch.run, seen, chance=random.random()) if seen is not None else None
    if seen is None or verdict is None:
        return None
    return over.Ending(
        task_id=watch.task_id,
        attempt=watch.watched.attempt,
        verdict=verdict,
        handle=seen.handle or watch.watched.handle,
        exit_code=seen.exit_code,
        result=seen.result,
        started_at=seen.started_at,
    )
