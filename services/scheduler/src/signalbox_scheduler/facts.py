"""What the scheduler publishes: ticks, states of schedules, answers to operations."""

from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid5

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.ids import derived_id, plan_id_from_tick
from signalbox_contracts.messages.commands import OperationData
from signalbox_contracts.messages.states import (
    OperationResult,
    OperationResultData,
    Outcome,
    ScheduleRecord,
    ScheduleStated,
)
from signalbox_contracts.messages.ticks import (
    ScheduleTicked,
    ScheduleTickedData,
    ScheduleTickSkipped,
    ScheduleTickSkippedData,
    SkipReason,
    TickCause,
)
from signalbox_scheduler.store.schedules import ScheduleRow
from signalbox_scheduler.store.ticks import Tick

SOURCE = "signalbox/scheduler"
UNREADABLE = (
    "the scheduler cannot read it: a newer version wrote it, or it is damaged; it goes on once it is saved again"
)
"""Without a value of the definition: the state is shown to everybody who sees the schedule."""
_ZONE_DATA = version("tzdata")


def publish_tick(
    work: UnitOfWork,
    tick: Tick,
    schedule: Schedule,
    revision: int,
    now: datetime,
    *,
    again: UUID | None = None,
    concurrency: int = 1,
) -> None:
    """Publish that a schedule fired, or why it did not. `again`: the operation for which it fires another time."""
    common: dict[str, Any] = {
        "tick_id": tick.id, "schedule_id": tick.schedule_id, "schedule_revision": revision, "due_at": tick.due_at,
        "event_date": tick.event_date, "zone_data_version": _ZONE_DATA,
    }  # fmt: skip
    if tick.outcome == "FIRED":
        plan_id = plan_id_from_tick(tick.id)
        fired = ScheduleTickedData(
            **common,
            plan_id=plan_id if again is None else uuid5(plan_id, f"again:{again}"),
            cause=TickCause(tick.cause),
            schedule=schedule,
            concurrency=concurrency,
        )
        event = ScheduleTicked.of(
            fired, subject=tick.schedule_id, source=SOURCE, time=now, project=schedule.project,
            id=derived_id(
                "signalbox.schedule.ticked.v1", tick.schedule_id, tick.id, tick.cause, *([again] if again else [])
            ),
        )  # fmt: skip
        work.publish(event)
        return
    skipped = ScheduleTickSkippedData(**common, why=SkipReason(tick.cause), detail=tick.detail)
    work.publish(
        ScheduleTickSkipped.of(
            skipped, subject=tick.schedule_id, source=SOURCE, time=now, id=tick.id, project=schedule.project
        )
    )


def publish_state(work: UnitOfWork, row: ScheduleRow, schedule: Schedule | None, now: datetime) -> None:
    """Publish the present state of one schedule, whose definition is None if it cannot be read."""
    paused, note = (schedule.paused, schedule.note) if schedule else (False, UNREADABLE)
    record = ScheduleRecord(
        schedule_id=row.id, version=row.version, definitions_revision=row.revision, paused=paused,
        note=row.problem or note, next_due_at=row.next_due_at, last_due_at=row.last_due_at,
        last_fired_at=row.last_fired_at, fired=row.fired, skipped=row.skipped,
    )  # fmt: skip
    work.publish(
        ScheduleStated.of(
            record, subject=f"schedule:{row.id}", source=SOURCE, time=now, aggregateversion=row.version,
            project=row.project,
        )
    )  # fmt: skip


def publish_answer(
    work: UnitOfWork,
    data: OperationData,
    schedule_id: str,
    outcome: Outcome,
    reason: str,
    now: datetime,
    **details: int,
) -> None:
    """Answer an operation about a schedule."""
    result = OperationResultData(
        operation_id=data.operation_id, target=f"schedule:{schedule_id}", operation="schedule.backfill",
        outcome=outcome, reason=reason, details=dict(details) or None,
    )  # fmt: skip
    work.publish(
        OperationResult.of(
            result, subject=f"operation:{data.operation_id}", source=SOURCE, time=now,
            id=derived_id(OperationResult.type_name(), str(data.operation_id)),
        )
    )  # fmt: skip
