"""Ticks and events become plans; the definitions they start are followed."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.messages.ticks import ScheduleTicked, ScheduleTickSkipped
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_planner import matching
from signalbox_planner.starting import Starter
from signalbox_planner.starts import StartRequest, tick_request
from signalbox_planner.store import definitions as store
from signalbox_planner.store import plans

FOLLOWED = frozenset({"engine", "job", "pipeline", "trigger"})
WAIT_SECONDS = 5.0
SeenRevision = Callable[[int, float], Awaitable[bool]]
"""Waits until a revision of the definitions is applied, for so many seconds; False when it is not."""


def definitions() -> Router:
    """Keep engines, jobs, pipelines and triggers; every other kind is not for us."""
    router = Router()

    @router.on(DefinitionSnapshot)
    async def define(work: UnitOfWork, events: Sequence[Received[DefinitionSnapshot]]) -> None:
        for received in events:
            if received.event.data.kind in FOLLOWED:
                await store.define(work.connection, received.event.data)

    return router


def register(router: Router, starter: Starter, seen: SeenRevision) -> None:
    """The handlers of ticks."""

    @router.on(ScheduleTicked)
    async def tick(work: UnitOfWork, events: Sequence[Received[ScheduleTicked]]) -> None:
        await seen(max(received.event.data.schedule_revision for received in events), WAIT_SECONDS)
        requests: list[StartRequest] = []
        for received in events:
            data = received.event.data
            target = await store.target(work.connection, data.schedule)
            request = tick_request(data, target, received.event.time)
            requests.append(replace(request, traceparent=received.trace.get("traceparent")))
        await starter.start(work, requests)

    @router.on(ScheduleTickSkipped)
    async def skipped(work: UnitOfWork, events: Sequence[Received[ScheduleTickSkipped]]) -> None:
        """Nothing starts."""


def external(starter: Starter) -> Router:
    """Events from other systems."""
    router = Router()

    @router.on(TriggerEvent)
    async def event(work: UnitOfWork, events: Sequence[Received[TriggerEvent]]) -> None:
        now = await plans.transaction_time(work.connection)
        traced = [
            received.event.model_copy(update={"traceparent": received.trace.get("traceparent")}) for received in events
        ]
        await starter.start(work, await matching.match_events(work, traced, now))

    return router
