"""What the executor does by itself, one pass each: claim, renew and sweep, take over, refresh, tidy, explain."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.test_signals import signals
from signalbox_executor import facts
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.lifecycle import who_is_ahead, why_waiting
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import accept, claim, engines, operations, stop, waiting, workers
from signalbox_executor.store.claim import Claim
from signalbox_executor.store.engines import Registered
from signalbox_executor.submitter import Driver

log = logging.getLogger(__name__)
MAX_EXPIRED = 200
MAX_SAID = 500
CROWD = 200


def _nothing() -> None:
    pass


@dataclass
class Worker:
    """This process among the others: an id with a lease, and what is done under it."""

    database: Database
    registry: EngineRegistry
    driver: Driver
    settings: ExecutorSettings
    host_id: str
    """What this host is called: engines that belong to a host are reached only from it."""
    id: UUID = field(default_factory=uuid4)
    wake: Callable[[], None] = _nothing
    """Brings `claim` round at once."""
    registered: dict[str, Registered] = field(default_factory=dict[str, Registered])
    """The engines this host may reach, by id."""

    def __post_init__(self) -> None:
        # claim and sweep take rows into our hands; the sweep must not see a claim that is not driven *yet*
        self._hands = asyncio.Lock()
        self._since = time.monotonic()

    async def start(self) -> None:
        await self.refresh()
        await self._register()

    async def stop(self) -> None:
        """Give what is half done to the others at once."""
        await self.driver.drop()
        async with self.database.connection() as connection:
            await workers.retire(connection, self.id)
        await self.registry.stop()

    async def refresh(self) -> None:
        """Look at the engines: which there are, and which may be asked."""
        async with self.database.connection() as connection:
            found = await engines.listed(connection, self.host_id)
            await self.registry.update(found)
            before, self.registered = self.registered, {engine.id: engine for engine in found}
            await workers.reach(connection, self.id, self.reachable())
        if self.registered != before:
            self.wake()

    async def claim(self) -> bool:
        """Claim what may start, in every group, and drive it; True if there may be more.

        In any order: a plan on several groups has its limit in common, and the first would always have all of it.
        """
        more = False
        groups = sorted({one.definition.group for one in self.registered.values() if one.takes_work})
        for group in random.sample(groups, len(groups)):
            async with self._hands:
                more |= await self._claim_group(group)
        return more

    async def _claim_group(self, group: str) -> bool:
        most = min(self.settings.claim_batch, self.driver.free)
        reachable = self.reachable()
        if most < 1 or not reachable:
            return False
        async with self.database.unit_of_work(begin=claim.BEGIN) as work:
            claims = await claim.claim(work.connection, self.id, group=group, reachable=reachable, most=most)
            intended = await self.driver.intend(work.connection, claims)
        self.driver.drive(intended)
        self._wake_for_tokens(claims)
        return len(claims) == most

    def _wake_for_tokens(self, claims: Sequence[Claim]) -> None:
        """Come back when an engine has its start tokens again: it saves no more than `starts_at_once`."""
        for engine_id in {one.task.engine_id for one in claims}:
            engine = self.registered.get(engine_id)
            limits = engine.definition.limits if engine else None
            if limits is not None and limits.starts_per_minute is not None:
                seconds = 1.02 * limits.starts_at_once * 60 / limits.starts_per_minute
                if seconds < self.settings.claim_seconds:
                    asyncio.get_running_loop().call_later(max(seconds, 0.02), self.wake)

    def reachable(self) -> list[str]:
        """The engines this process can talk to, by id."""
        return [id for id in self.registered if self.registry.get(id) is not None]

    async def renew(self) -> None:
        """Renew the lease, or drop everything and begin anew under another id; then sweep."""
        async with self.database.connection() as connection:
            renewed = await workers.renew(connection, self.id, lease_seconds=self.settings.worker_lease_seconds)
        if not renewed:
            log.warning("worker %s lost its lease: dropping %d tasks", self.id, len(self.driver.driving))
            async with self._hands:
                await self.driver.drop()
                crash_points.point("executor.lease_lost")
                await self._register()
        crash_points.point("executor.renewed")
        await self.sweep()

    async def sweep(self) -> None:
        """Pick up rows of ours that nobody drives."""
        async with self._hands:
            async with self.database.connection() as connection:
                rows = await workers.own_rows(
                    connection, self.id, driven=list(self.driver.driving), most=max(self.driver.free, 0)
                )
            if rows:
                async with self.database.unit_of_work() as work:
                    intended = await self.driver.intend(work.connection, [claim.claim_of(row) for row in rows])
                self.driver.drive(intended)

    async def take_over(self) -> None:
        """Take what dead workers had claimed."""
        async with self.database.connection() as connection:
            victims = await workers.expired(connection, self.id)
        taken = 0
        for victim in victims:
            async with self.database.unit_of_work() as work:
                moved = await workers.take_over(work.connection, self.id, victim)
            crash_points.point("executor.taken_over")
            taken += len(moved or ())
        if taken:
            log.info("took over %d tasks", taken)
            await self.sweep()

    async def tidy(self) -> bool:
        """End what waited too long; forget old workers."""
        async with self.database.unit_of_work() as work:
            late = await stop.expire(work.connection, most=MAX_EXPIRED)
            facts.publish_changes(work, late)
        async with self.database.connection() as connection:
            await workers.prune(connection)
            await operations.forget_follows(connection)
        return len(late) == MAX_EXPIRED

    async def say(self) -> bool:
        """Say the moves that no later fact took along."""
        async with self.database.connection() as connection:
            unsaid = await accept.unsaid(connection, most=CROWD)
        if not unsaid:
            return False
        # in a crowd most ends come soon, and take their moves along: to say them twice would cost the crowd its pace
        seconds = self.settings.say_seconds * (4 if unsaid == CROWD else 1)
        async with self.database.unit_of_work() as work:
            left = await accept.left_unsaid(work.connection, seconds=seconds, most=MAX_SAID)
            facts.publish_changes(work, left)
        return len(left) == MAX_SAID

    async def explain(self) -> None:
        """Say in the rows why their tasks wait, where that is news."""
        async with self.database.connection() as connection:
            queues, now = await waiting.queues(connection, after_seconds=self.settings.explain_after_seconds)
            # who was away as well may only just come back
            settled = time.monotonic() - self._since > waiting.RESTART_SECONDS
            stranded = await waiting.stranded(connection) if settled else []
        why = [
            (queue.plan_id, queue.engine_id, said)
            for queue in queues
            if (said := why_waiting(queue, ahead=who_is_ahead(queue, queues), now=now)) is not None
        ]
        if why or stranded:
            async with self.database.unit_of_work() as work:
                facts.publish_changes(work, await waiting.say(work.connection, why))
                facts.publish_changes(work, await waiting.say_stranded(work.connection, stranded))

    async def _register(self) -> None:
        self.id = uuid4()
        async with self.database.connection() as connection:
            await workers.register(
                connection, self.id, host_id=self.host_id, lease_seconds=self.settings.worker_lease_seconds
            )
            await workers.reach(connection, self.id, self.reachable())
        signals.fire("worker.registered")
