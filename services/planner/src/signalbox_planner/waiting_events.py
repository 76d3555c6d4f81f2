"""Passes over events that wait: for a quiet spell, for their batch, for the end of a freeze, for their turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.isolation import isolate
from signalbox_contracts.definitions.freeze import freeze_of
from signalbox_contracts.messages.states import MatchOutcome
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_planner import matching
from signalbox_planner.matching import REQUESTS, Settled
from signalbox_planner.starting import Starter
from signalbox_planner.starts import decide_held
from signalbox_planner.store import definitions, plans, starts
from signalbox_planner.store import events as store
from signalbox_planner.store.definitions import KnownTrigger

FAULTY_SECONDS: Final = 60.0
"""What cannot be started is tried again after so long; the others start meanwhile."""


@dataclass
class WaitingEvents:
    """A death before the commit of a pass leaves everything as it was. What cannot be started stops no other."""

    database: Database
    starter: Starter

    async def start_debounced(self) -> bool:
        """Start the plans of debounced events whose quiet spell is over; True when there may be more."""
        async with self.database.unit_of_work() as work:
            due = await starts.due_debounced(work.connection, list(await self._triggers(work)))
        if faulty := await isolate(due, self._start_debounced, part="debounced events"):
            async with self.database.unit_of_work() as work:
                await starts.postpone_debounced(work.connection, [one.item for one in faulty], FAULTY_SECONDS)
        return len(due) == 100

    async def _start_debounced(self, keys: Sequence[tuple[str, str]]) -> None:
        """During a freeze they are held, as those that come then."""
        async with self.database.unit_of_work() as work:
            taken = await starts.take_debounced(work.connection, keys)
            known = await self._triggers(work) if taken else {}
            for trigger_id, text in taken:
                if trigger_id in known:  # else the trigger was deleted meanwhile
                    await self._start(work, known[trigger_id], [TriggerEvent.model_validate_json(text)])

    async def start_batches(self) -> bool:
        """Start a plan for each batch whose time has come; True when there may be more."""
        async with self.database.unit_of_work() as work:
            known = await self._triggers(work)
            more = await store.forget_batches(work.connection)
            frozen = await self._frozen(work, known)
            limits = {
                id: (one.trigger.batch.max_events, one.trigger.batch.max_seconds) if one.trigger.batch else (1, 0.0)
                for id, one in known.items()
                if id not in frozen
            }  # a trigger that batches no more: what waits starts now
            full = await store.full_batches(work.connection, limits)
        started = 0

        async def start(some: Sequence[tuple[str, str]]) -> None:
            nonlocal started
            (trigger_id, key), *_ = some
            async with self.database.unit_of_work() as work:
                started += await self._start_batch(work, known[trigger_id], key, limits[trigger_id][0])

        for one in full:
            await isolate([one], start, part="batches of events")
        return started > 0 or more

    async def _start_batch(self, work: UnitOfWork, known: KnownTrigger, key: str, max_events: int) -> bool:
        """One plan of the oldest events of a batch. During a freeze they wait on."""
        await store.lock_trigger(work.connection, known.trigger.id)
        now = await plans.transaction_time(work.connection)
        if freeze_of(await definitions.freezes(work.connection), known.trigger.project, now) is not None:
            return False
        texts = await store.take_batch(work.connection, known.trigger.id, key, max_events)
        events = [TriggerEvent.model_validate_json(text) for text in texts]
        await self._start(work, known, events, one_plan=known.trigger.batch is not None)
        return bool(events)

    async def release_held(self) -> bool:
        """Decide the held events of triggers that no freeze holds any more, by their policy."""
        async with self.database.unit_of_work() as work:
            known = await self._triggers(work)
            holding = await store.holding(work.connection, list(known))
            freezes = await definitions.freezes(work.connection)
            now = await plans.transaction_time(work.connection)
        released = 0

        async def release(some: Sequence[str]) -> None:
            nonlocal released
            async with self.database.unit_of_work() as work:
                released += await self._release(work, some[0], known.get(some[0]))

        for trigger_id in holding:
            if trigger_id not in known or freeze_of(freezes, known[trigger_id].trigger.project, now) is None:
                await isolate([trigger_id], release, part="held events")
        return released > 0

    async def _release(self, work: UnitOfWork, trigger_id: str, known: KnownTrigger | None) -> int:
        """Decide what this trigger holds, and release a page of it; how many events that were."""
        await store.lock_trigger(work.connection, trigger_id)
        if waiting := await store.undecided(work.connection, trigger_id):
            chosen = decide_held(known.trigger.missed, [age for _, age in waiting]) if known else [False] * len(waiting)
            decided = zip((seq for seq, _ in waiting), chosen, strict=True)
            await store.decide_held(work.connection, trigger_id, list(decided))
        held = await store.release(work.connection, trigger_id)
        if known is None:  # deleted meanwhile
            return len(held)
        events = [TriggerEvent.model_validate_json(one.event) for one in held]
        settled = Settled(known, await plans.transaction_time(work.connection))
        for one, event in zip(held, events, strict=True):
            if not one.starts:
                policy = known.trigger.missed.policy
                why = f"came during freeze {one.freeze_id}; missed policy {policy} leaves it out"
                settled.record(event, MatchOutcome.SKIPPED, why)
        kept = [event for one, event in zip(held, events, strict=True) if one.starts]
        matched = matching.matched_again(settled, kept)
        if matched:
            await matching.admit(work, settled, matched)
        await self._carry(work, settled)
        return len(held)

    async def start_delayed(self) -> bool:
        """Start the plans whose turn has come; True when there may be more. During a freeze they wait on."""
        async with self.database.unit_of_work() as work:
            frozen = await self._frozen(work, await self._triggers(work))
            due = await store.due_delayed(work.connection, sorted(frozen))
        if faulty := await isolate(due, self._start_delayed, part="delayed starts"):
            async with self.database.unit_of_work() as work:
                await store.postpone_delayed(work.connection, [one.item for one in faulty], FAULTY_SECONDS)
        return len(due) == 100

    async def _start_delayed(self, ids: Sequence[UUID]) -> None:
        async with self.database.unit_of_work() as work:
            taken = await store.take_delayed(work.connection, ids)
            await self.starter.start(work, [REQUESTS.validate_json(text) for text in taken])

    async def prune(self) -> bool:
        """Forget events whose time to be told apart is over, and counts of long ago."""
        async with self.database.unit_of_work() as work:
            counts = await store.prune_sources(work.connection)
            return counts + await starts.prune_events(work.connection) > 0

    async def _start(
        self, work: UnitOfWork, known: KnownTrigger, events: Sequence[TriggerEvent], *, one_plan: bool = False
    ) -> None:
        now: datetime = await plans.transaction_time(work.connection)
        settled = Settled(known, now)
        matched = matching.matched_again(settled, events)
        if matched and not await matching.hold_if_frozen(work, settled, matched):
            await matching.start(work, settled, matched, one_plan=one_plan)
        await self._carry(work, settled)

    async def _carry(self, work: UnitOfWork, settled: Settled) -> None:
        await matching.publish(work, settled)
        await self.starter.start(work, settled.requests)

    async def _triggers(self, work: UnitOfWork) -> dict[str, KnownTrigger]:
        return {one.trigger.id: one for one in await definitions.triggers(work.connection)}

    async def _frozen(self, work: UnitOfWork, known: Mapping[str, KnownTrigger]) -> set[str]:
        """The triggers whose events a freeze holds now."""
        freezes, now = await definitions.freezes(work.connection), await plans.transaction_time(work.connection)
        return {id for id, one in known.items() if freeze_of(freezes, one.trigger.project, now) is not None}
