"""In: schedule and freeze definitions; schedule.backfill. Changes: schedule, freeze_window, backfill.
Out: operation.result, for what is refused at once.
"""

from collections.abc import Callable, Sequence

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.isolation import note_fault
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.messages.definitions import DefinitionSnapshot
from signalbox_contracts.messages.operations import ScheduleBackfill
from signalbox_contracts.messages.states import Outcome
from signalbox_scheduler import facts
from signalbox_scheduler.store import schedules, ticks


def definitions(wake: Callable[[], None]) -> Router:
    """Follow schedules and freezes; every other kind is not for us."""
    router = Router()

    @router.on(DefinitionSnapshot)
    async def define(work: UnitOfWork, events: Sequence[Received[DefinitionSnapshot]]) -> None:
        defined: list[schedules.Defined] = []
        for received in events:
            data, at = received.event.data, received.event.time
            if data.kind == "schedule" and (data.definition is None or isinstance(data.definition, Schedule)):
                defined.append(schedules.Defined(data.id, data.revision, data.definition, data.deleted, at))
            elif isinstance(data.definition, Freeze):
                await schedules.save_freeze(work.connection, data.definition, data.revision, lifted=data.deleted, at=at)
            elif data.kind == "freeze":
                await schedules.lift_freeze(work.connection, data.id, data.revision, at=at)
        if defined:
            await schedules.define(work.connection, defined)
        work.on_commit(wake)

    return router


def control(wake: Callable[[], None]) -> Router:
    """Operations on schedules."""
    router = Router()

    @router.on(ScheduleBackfill)
    async def backfill(work: UnitOfWork, events: Sequence[Received[ScheduleBackfill]]) -> None:
        for received in events:
            data = received.event.data
            try:
                known = await schedules.load(work.connection, data.schedule_id) is not None
                reason = f"there is no schedule {data.schedule_id}"
            except ValueError as error:
                note_fault("backfills", error, data.schedule_id)
                known, reason = False, f"schedule {data.schedule_id} cannot be read"
            if not known:
                now = await schedules.now(work.connection)
                facts.publish_answer(work, data, data.schedule_id, Outcome.REFUSED, reason, now)
                continue
            await ticks.keep_backfill(work.connection, data)
        work.on_commit(wake)

    return router
