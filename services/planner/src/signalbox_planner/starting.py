"""Starts the plans of ticks and events, or lets them wait for the previous one. Decisions are in `starts`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.isolation import isolate
from signalbox_contracts.messages.requests import PlanRequestData
from signalbox_planner import lifecycle
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.handlers.requests import Expanding, expand_request, new_plan
from signalbox_planner.plan import Plan
from signalbox_planner.starts import Refuse, StartNow, StartRequest, WaitForPrevious, decide_overlap, plan_ahead
from signalbox_planner.store import plans, starts
from signalbox_planner.store.starts import QueuedStart


@dataclass
class Starter:
    """Starts plans in the caller's transaction."""

    dispatcher: Dispatcher

    async def start(self, work: UnitOfWork, requests: Sequence[StartRequest]) -> None:
        """Make the plans of these requests. A request whose plan exists changes nothing."""
        by_id = {request.data.plan_id: request for request in requests}
        known, now, version = await plans.locked_now(work.connection, list(by_id))
        fresh = [request for id, request in by_id.items() if id not in known]
        for request in sorted(fresh, key=lambda one: one.source):  # sources are locked in one order
            plan = new_plan(
                request.data, request.requested_at, now, version, project=request.project,
                traceparent=request.traceparent,
            )  # fmt: skip
            plan = await self._decide(work, plan, request, now)
            await save_changes(work, [plan], now, new={plan.id})

    async def _decide(self, work: UnitOfWork, plan: Plan, request: StartRequest, now: datetime) -> Plan:
        if request.refusal:
            return lifecycle.refuse(plan, now, request.refusal)
        started = await starts.lock_source(work.connection, request.source)
        decision = decide_overlap(request.overlap, started.active, started.queued, request.concurrency)
        if isinstance(decision, Refuse):
            return lifecycle.refuse(plan, now, decision.reason)
        if isinstance(decision, WaitForPrevious):
            await self._cancel(work, decision.cancel, plan, request, now)
            text = request.data.model_dump_json()
            await starts.add(
                work.connection, plan.id, request.source, queued=True, request=text, concurrency=request.concurrency
            )  # fmt: skip
            return lifecycle.wait_for_previous(plan, decision.behind)
        assert isinstance(decision, StartNow)
        await starts.add(work.connection, plan.id, request.source, queued=False)
        return await expand_request(Expanding(work, self.dispatcher, now), plan, request.data)

    async def _cancel(
        self, work: UnitOfWork, ids: Sequence[UUID], by: Plan, request: StartRequest, now: datetime
    ) -> None:
        """Cancel and kill the plans that a newer one replaces."""
        for plan in (await plans.locked(work.connection, ids)).values():
            if not plan.ended:
                reason = f"overlap policy cancel_previous: replaced by plan {by.id}"
                operation = uuid5(by.id, f"cancel:{plan.id}")
                cancelled = lifecycle.cancel(plan, operation, request.data.actor, reason, now, kill=True)
                await save_changes(work, [cancelled], now)
        work.on_commit(self.dispatcher.wake)


@dataclass
class WaitingStarts:
    """The passes that start what waited for the previous plan, and name the plan that goes first now."""

    database: Database
    starter: Starter

    async def start_queued(self) -> bool:
        """Start the plans whose previous one has ended; True when there may be more."""
        async with self.database.unit_of_work() as work:
            forgotten = await starts.forget_ended(work.connection)
            waiting = await starts.next_queued(work.connection)
            outdated = await starts.behind_ended(work.connection)
        faulty = [
            found for queued in waiting for found in await isolate([queued], self._start_one, part="queued starts")
        ]
        for plan_id, source in outdated:
            await isolate([(plan_id, source)], self._rename_previous, part="reasons of queued starts")
        return len(waiting) > len(faulty) or forgotten >= 1000

    async def _rename_previous(self, outdated: Sequence[tuple[UUID, str]]) -> None:
        """Name the plan that goes first now: the one named before has ended."""
        (plan_id, source), *_ = outdated
        async with self.database.unit_of_work() as work:
            known, now, _ = await plans.locked_now(work.connection, [plan_id])
            started = await starts.lock_source(work.connection, source)
            plan = known.get(plan_id)
            if plan is None or plan.ended or plan_id not in started.queued:
                return
            ahead = started.queued[: started.queued.index(plan_id)]
            if started.active or ahead:  # else it is next
                renamed = lifecycle.wait_for_previous(plan, plan_ahead(started.active, ahead))
                await save_changes(work, [renamed], now)

    async def _start_one(self, waiting: Sequence[QueuedStart]) -> None:
        async with self.database.unit_of_work() as work:
            await self._start_queued(work, waiting[0])

    async def _start_queued(self, work: UnitOfWork, queued: QueuedStart) -> None:
        known, now, _ = await plans.locked_now(work.connection, [queued.plan_id])
        started = await starts.lock_source(work.connection, queued.source)
        plan = known.get(queued.plan_id)
        if plan is None or plan.ended or plan.started or len(started.active) >= queued.concurrency:
            return  # cancelled, or another process was faster
        await starts.unqueue(work.connection, queued.plan_id)
        data = PlanRequestData.model_validate_json(queued.request)
        plan = await expand_request(Expanding(work, self.starter.dispatcher, now), replace(plan, previous=None), data)
        await save_changes(work, [plan], now)
