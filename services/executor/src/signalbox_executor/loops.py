"""What the executor does by itself, one pass each: claim, renew and sweep, take over, refresh, tidy, explain."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime import crash_points
from signalbox_chassis.runtime.isolation import isolate, readable
from signalbox_chassis.runtime.test_signals import signals
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.messages.plans import Waiting
from signalbox_executor import facts, measurements
from signalbox_executor.engines.registry import EngineRegistry
from signalbox_executor.lifecycle import Queue, first_in_line, who_is_ahead, why_waiting
from signalbox_executor.membership import Membership
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store import accept, claim, engines, freezes, operations, stop, waiting, workers
from signalbox_executor.store.claim import Claim
from signalbox_executor.submitter import Submitter

log = logging.getLogger(__name__)
MAX_EXPIRED = 200
MAX_GIVEN_BACK = 1000
MAX_PUBLISHED = 500
CROWD = 200


@dataclass
class Worker:
    """This process among the others: an id with a lease, and what is done under it."""

    database: Database
    registry: EngineRegistry
    submitter: Submitter
    member: Membership
    settings: ExecutorSettings
    wakes: WakeUps
    host_id: str
    """What this host is called: engines that belong to a host are reached only from it."""

    def __post_init__(self) -> None:
        # claim and sweep take rows into our hands; the sweep must not see a claim that is not driven *yet*
        self._hands = asyncio.Lock()
        self._since = time.monotonic()

    async def start(self) -> None:
        await self.refresh()
        await self._register()

    async def stop(self) -> None:
        """Hand what is half done to the other executors at once."""
        await self.submitter.drop()
        async with self.database.unit_of_work() as work:
            rows = await workers.own_rows(work.connection, self.member.id, submitting=[], limit=MAX_GIVEN_BACK)
            claims = [claim.claim_of(row) for row in rows]
            facts.publish_changes(
                work, await claim.give_back(work.connection, self.member.id, claims, "its executor stopped")
            )
            await workers.retire(work.connection, self.member.id)
        await self.registry.stop()

    async def refresh(self) -> None:
        """Look at the engines: which there are, and which may be asked."""
        async with self.database.connection() as connection:
            found = await engines.listed(connection, self.host_id)
            await self.registry.update(found)
            before, self.member.registered = self.member.registered, {engine.id: engine for engine in found}
            await workers.reach(connection, self.member.id, self.reachable())
        if self.member.registered != before:
            self.wakes.wake("claim")

    async def claim(self) -> bool:
        """Claim what may start, in every group, and submit it; True if there may be more.

        In any order: a plan on several groups has its limit in common, and the first would always have all of it.
        """
        more = False
        groups = sorted({one.definition.group for one in self.member.registered.values() if one.takes_work})
        for group in random.sample(groups, len(groups)):
            async with self._hands:
                more |= await self._claim_group(group)
        return more

    async def _claim_group(self, group: str) -> bool:
        limit = min(self.settings.claim_batch, self.submitter.free)
        reachable = self.reachable()
        if limit < 1 or not reachable:
            return False
        async with self.database.unit_of_work(begin=claim.BEGIN) as work:
            claims = await claim.claim(work.connection, self.member.id, group=group, reachable=reachable, limit=limit)
            intended = await self.submitter.intend(work.connection, claims)
        measurements.claimed(one.task for one in claims)
        self.submitter.submit_all(intended)
        self._wake_for_tokens(claims)
        return len(claims) == limit

    def _wake_for_tokens(self, claims: Sequence[Claim]) -> None:
        """Come back when an engine has its start tokens again: it saves no more than `starts_at_once`."""
        for engine_id in {one.task.engine_id for one in claims}:
            engine = self.member.registered.get(engine_id)
            limits = engine.definition.limits if engine else None
            if limits is not None and limits.starts_per_minute is not None:
                seconds = 1.02 * limits.starts_at_once * 60 / limits.starts_per_minute
                if seconds < self.settings.claim_seconds:
                    asyncio.get_running_loop().call_later(max(seconds, 0.02), self.wakes.of("claim"))

    def reachable(self) -> list[str]:
        """The engines this process can talk to, by id."""
        return [id for id in self.member.registered if self.registry.get(id) is not None]

    async def renew(self) -> None:
        """Renew the lease, or drop everything and start again under another id; then sweep."""
        async with self.database.connection() as connection:
            renewed = await workers.renew(connection, self.member.id, lease_seconds=self.settings.worker_lease_seconds)
        if not renewed:
            measurements.LEASES_LOST.inc()
            log.warning("worker %s lost its lease: dropping %d tasks", self.member.id, len(self.submitter.in_progress))
            async with self._hands:
                await self.submitter.drop()
                crash_points.point("executor.lease_lost")
                await self._register()
        crash_points.point("executor.renewed")
        await self.sweep()

    async def sweep(self) -> None:
        """Pick up rows of ours that no coroutine of ours submits."""
        async with self._hands:
            async with self.database.connection() as connection:
                rows = await workers.own_rows(
                    connection,
                    self.member.id,
                    submitting=list(self.submitter.in_progress),
                    limit=max(self.submitter.free, 0),
                )
            if rows:
                async with self.database.unit_of_work() as work:
                    intended = await self.submitter.intend(work.connection, [claim.claim_of(row) for row in rows])
                self.submitter.submit_all(intended)

    async def take_over(self) -> None:
        """Take what dead workers had claimed."""
        async with self.database.connection() as connection:
            victims = await workers.expired(connection, self.member.id)
        taken = 0
        for victim in victims:
            async with self.database.unit_of_work() as work:
                moved = await workers.take_over(work.connection, self.member.id, victim)
            crash_points.point("executor.taken_over")
            taken += len(moved or ())
        if taken:
            log.info("took over %d tasks", taken)
            await self.sweep()

    async def tidy(self) -> bool:
        """End what waited too long; forget old workers."""
        async with self.database.unit_of_work() as work:
            late = await stop.expire(work.connection, limit=MAX_EXPIRED)
            facts.publish_changes(work, late)
        async with self.database.connection() as connection:
            await workers.prune(connection)
            await operations.forget_follows(connection)
        return len(late) == MAX_EXPIRED

    async def extend_freezes(self) -> None:
        """Keep the windows of blackout calendars ahead of time."""
        async with self.database.unit_of_work() as work:
            await freezes.extend(work.connection)

    async def publish_pending(self) -> bool:
        """Publish the transitions that no later fact carried."""
        async with self.database.connection() as connection:
            unpublished = await accept.count_unpublished(connection, limit=CROWD)
        if not unpublished:
            return False
        # in a crowd most ends come soon and carry the transitions: publishing them twice would slow the crowd
        seconds = self.settings.publish_delay_seconds * (4 if unpublished == CROWD else 1)
        async with self.database.unit_of_work() as work:
            left = await accept.take_unpublished(work.connection, seconds=seconds, limit=MAX_PUBLISHED)
            facts.publish_changes(work, left)
        return len(left) == MAX_PUBLISHED

    async def explain(self) -> None:
        """Write why tasks wait into their rows, where the reason is new."""
        async with self.database.connection() as connection:
            queues, now = await waiting.queues(connection, after_seconds=self.settings.explain_after_seconds)
            # other executors may be restarting too
            settled = time.monotonic() - self._since > waiting.RESTART_SECONDS
            stranded = await waiting.stranded(connection) if settled else []
        first = first_in_line(queues)  # to compare all with all would take a second for a thousand
        reasons = readable(
            queues,
            lambda one: (one, why_waiting(one, ahead=who_is_ahead(one, first.get(one.engine_id, ())), now=now)),
            part="reasons",
        )
        await isolate(
            [(queue, reason) for queue, reason in reasons if reason is not None],
            self._save_reasons,
            part="reasons",
        )
        if stranded:
            async with self.database.unit_of_work() as work:
                facts.publish_changes(work, await waiting.save_stranded(work.connection, stranded))

    async def _save_reasons(self, reasons: Sequence[tuple[Queue, Waiting]]) -> None:
        async with self.database.unit_of_work() as work:
            facts.publish_changes(work, await waiting.save_reasons(work.connection, reasons))

    async def _register(self) -> None:
        self.member.id = uuid4()
        async with self.database.connection() as connection:
            await workers.register(
                connection, self.member.id, host_id=self.host_id, lease_seconds=self.settings.worker_lease_seconds
            )
            await workers.reach(connection, self.member.id, self.reachable())
        signals.fire("worker.registered")
