"""In: counter.add, counter.forget, counter.state, definitions. Changes: all tables. Out: counter.state."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from example_service import store
from example_service.messages import COUNTERS, SOURCE, CounterAdd, CounterForget, CounterState, State
from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionTombstone


@dataclass
class Bug:
    """What is wrong with the code: counters whose messages make a handler fail, until somebody fixes it."""

    counters: set[str] = field(default_factory=set[str])

    def strike(self, counter: str) -> None:
        if counter in self.counters:
            raise ZeroDivisionError(f"a bug in the handler of {counter}")


def state(counter: str, total: int, version: int, number: int, *, time: datetime, filler: str = "") -> CounterState:
    data = State(total=total, number=number, filler=filler)
    return CounterState.of(data, subject=counter, source=SOURCE, time=time, aggregateversion=version)


def control(bug: Bug) -> Router:
    router = Router()

    @router.on(CounterAdd)
    async def add(work: UnitOfWork, events: Sequence[Received[CounterAdd]]) -> None:
        counters = await store.lock(work, sorted({received.event.subject for received in events}))
        entries: list[store.Entry] = []
        for received in events:
            event = received.event
            bug.strike(event.subject)
            total, version = counters[event.subject]
            counters[event.subject] = (total + 1, version + 1)
            entries.append((event.subject, event.data.number))
            stated = state(
                event.subject, total + 1, version + 1, event.data.number, time=event.time, filler=event.data.filler
            )
            work.publish(stated, cause=received, topic=COUNTERS)
        await store.save(work, counters, entries)

    @router.on(CounterForget)
    async def forget(work: UnitOfWork, events: Sequence[Received[CounterForget]]) -> None:
        pass

    return router


def facts() -> Router:
    router = Router()

    @router.on(CounterState)
    async def mirror(work: UnitOfWork, events: Sequence[Received[CounterState]]) -> None:
        states = [(r.event.subject, r.event.data.total, r.event.aggregateversion or 0) for r in events]
        await store.mirror(work, states)

    return router


def definitions() -> Router:
    router = Router()

    @router.on(DefinitionSnapshot)
    async def define(work: UnitOfWork, events: Sequence[Received[DefinitionSnapshot]]) -> None:
        for received in events:
            data = received.event.data
            await store.define(work, data.kind, data.id, data.revision)

    @router.on(DefinitionTombstone)
    async def forget(work: UnitOfWork, events: Sequence[Received[DefinitionTombstone]]) -> None:
        for received in events:
            data = received.event.data
            await work.connection.execute("DELETE FROM definition WHERE kind = $1 AND id = $2", data.kind, data.id)

    return router
