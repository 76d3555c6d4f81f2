"""`ticks.v1`: instants at which a schedule was due, fired or skipped. The key is the schedule id."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.envelope import Event
from signalbox_contracts.vocabulary import Instant, Name, OpenEnum, PlanId, Text, Value, Version


class TickCause(OpenEnum):
    """Why a tick fired."""

    DUE = "due"
    LATE = "late"
    CATCH_UP = "catch_up"
    BACKFILL = "backfill"
    NOW = "now"
    OTHER = "OTHER"


class SkipReason(OpenEnum):
    """Why a tick did not fire."""

    MISSED = "missed"
    PAUSED = "paused"
    FROZEN = "frozen"
    TOO_MANY = "too_many"
    OUTSIDE = "outside"
    OTHER = "OTHER"


class TickData(Value):
    """One tick. `due_at` is the intended instant, whenever it was noticed."""

    tick_id: UUID
    schedule_id: Name
    schedule_revision: Version
    due_at: Instant
    event_date: date
    zone_data_version: str = ""
    """The version of the time zone database that computed it."""


class ScheduleTickedData(TickData):
    """A tick that starts a plan. The schedule travels along as it was then.

    With the overlap policy `queue`, the plan waits until fewer than `concurrency` earlier plans of the schedule run.
    """

    plan_id: PlanId
    cause: TickCause = TickCause.DUE
    schedule: Schedule
    concurrency: Annotated[int, Field(ge=1, le=100)] = 1


class ScheduleTicked(Event[ScheduleTickedData], frozen=True):
    """A schedule fired."""

    type: Literal["signalbox.schedule.ticked.v1"] = "signalbox.schedule.ticked.v1"


class ScheduleTickSkippedData(TickData):
    """A tick that starts nothing, and why."""

    why: SkipReason
    detail: Text = ""


class ScheduleTickSkipped(Event[ScheduleTickSkippedData], frozen=True):
    """A schedule was due and did not fire."""

    type: Literal["signalbox.schedule.tick_skipped.v1"] = "signalbox.schedule.tick_skipped.v1"


MESSAGES = (ScheduleTicked, ScheduleTickSkipped)
