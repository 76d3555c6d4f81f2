"""In: schedule.ticked, schedule.tick_skipped, schedule.state, trigger.state, source.state.
Changes: the read model (tick, start_state, event_match, source_hour). Out: nothing.
"""

from collections.abc import Sequence

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.states import ScheduleStated, SourceStated, TriggerStated
from signalbox_contracts.messages.ticks import ScheduleTicked, ScheduleTickSkipped
from signalbox_gateway.read_model import starts
from signalbox_gateway.read_model.starts import TickRow


def register(router: Router) -> None:
    """Follow what starts plans by itself."""

    @router.on(ScheduleTicked)
    async def fired(work: UnitOfWork, events: Sequence[Received[ScheduleTicked]]) -> None:
        await starts.write_ticks(work.connection, [TickRow(one.event.data, one.event.time) for one in events])

    @router.on(ScheduleTickSkipped)
    async def skipped(work: UnitOfWork, events: Sequence[Received[ScheduleTickSkipped]]) -> None:
        await starts.write_ticks(work.connection, [TickRow(one.event.data, one.event.time) for one in events])

    @router.on(ScheduleStated)
    async def schedules(work: UnitOfWork, events: Sequence[Received[ScheduleStated]]) -> None:
        await starts.write_schedules(work.connection, [one.event.data for one in events])

    @router.on(TriggerStated)
    async def triggers(work: UnitOfWork, events: Sequence[Received[TriggerStated]]) -> None:
        await starts.write_triggers(work.connection, [one.event.data for one in events])

    @router.on(SourceStated)
    async def event_sources(work: UnitOfWork, events: Sequence[Received[SourceStated]]) -> None:
        await starts.write_sources(work.connection, [one.event.data for one in events])
