"""Ticks and events become plans; the definitions they start are followed."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from prometheus_client import Histogram

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.messages.ticks import ScheduleTicked, ScheduleTickSkipped
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.topics import topic_of_source
from signalbox_planner import matching
from signalbox_planner.starting import Starter
from signalbox_planner.starts import StartRequest, tick_request
from signalbox_planner.store import definitions as store
from signalbox_planner.store import plans

_LAG = Histogram(
    "signalbox_trigger_lag_seconds", "From an event's record on the broker to what triggers made of it",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)  # fmt: skip
FOLLOWED = frozenset({"engine", "job", "pipeline", "trigger", "freeze"})
WAIT_SECONDS = 5.0
SeenRevision = Callable[[int, float], Awaitable[bool]]
"""Waits until a revision of the definitions is applied, for so many seconds; False when it is not."""


def definitions() -> Router:
    """Keep engines, jobs, pipelines, triggers and freezes; every other kind is not for us."""
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


def external(starter: Starter, sources: Collection[str] = ()) -> Router:
    """Events from other systems. `sources` have a topic of their own."""
    router = Router()

    @router.on(TriggerEvent)
    async def event(work: UnitOfWork, events: Sequence[Received[TriggerEvent]]) -> None:
        for received in events:
            _check_topic(received, sources)
        now = await plans.transaction_time(work.connection)
        traced = [
            received.event.model_copy(update={"traceparent": received.trace.get("traceparent")}) for received in events
        ]
        lag = now.timestamp() - max(received.record.timestamp_ms for received in events) / 1000
        requests = await matching.match_events(work, traced, now, lag_seconds=lag)
        for received in events:
            _LAG.observe(max(0.0, now.timestamp() - received.record.timestamp_ms / 1000))
        await starter.start(work, requests)

    @router.on_repeated(TriggerEvent)
    async def repeated(work: UnitOfWork, events: Sequence[Received[TriggerEvent]]) -> None:
        now = await plans.transaction_time(work.connection)
        await matching.count_repeated(work, [received.event for received in events], now)

    return router


class ForeignSource(ValueError):
    """An event claims a source on a topic that is not this source's. It is parked: nothing starts."""


def _check_topic(received: Received[TriggerEvent], sources: Collection[str]) -> None:
    expected = topic_of_source(received.event.source, sources)
    if received.record.topic.name != expected.name:
        where = received.record.topic.name
        raise ForeignSource(f"source {received.event.source[:200]} on {where}: its events belong on {expected.name}")
