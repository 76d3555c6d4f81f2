"""Plans that nobody asked for by hand: what a tick or an event starts, and whether it may start now. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue

from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.placement import NoFittingEngine, choose_engine
from signalbox_contracts.definitions.schedule import Missed, Overlap, Schedule
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.event_matching import Match
from signalbox_contracts.messages.requests import Origin, PlanRequestData, RunJob, RunPipeline
from signalbox_contracts.messages.ticks import ScheduleTickedData
from signalbox_contracts.messages.triggers import TriggerEvent

MAX_QUEUED: Final = 1000
"""How many plans of one schedule or trigger may wait for the previous one."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a schedule or trigger starts, with engines, or why it cannot."""

    definition: Job | Pipeline | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """One plan to start. Overlap is decided among the plans of one `source`: `schedule:<id>` or `trigger:<id>`."""

    source: str
    overlap: Overlap
    data: PlanRequestData
    requested_at: datetime
    project: str
    refusal: str = ""
    """Why it cannot start at all, such as a target that does not exist."""
    traceparent: str | None = None
    concurrency: int = 1
    """With the policy `queue`: how many plans of the source may run at once."""


@dataclass(frozen=True, slots=True)
class StartNow:
    """Nothing is in the way."""


@dataclass(frozen=True, slots=True)
class WaitForPrevious:
    """Start after the plan `behind` of the same source; those in `cancel` are cancelled for it."""

    behind: UUID
    cancel: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not start, for this reason."""

    reason: str


def decide_overlap(
    overlap: Overlap, active: Sequence[UUID], queued: Sequence[UUID], concurrency: int = 1
) -> StartNow | WaitForPrevious | Refuse:
    """Whether a plan may start beside the `active` and the `queued` plans of its source, each oldest first."""
    if overlap == "allow" or not (active or queued):
        return StartNow()
    if overlap == "queue" and not queued and len(active) < concurrency:
        return StartNow()
    if overlap == "skip":
        return Refuse(f"overlap policy skip: plan {(*active, *queued)[0]} of the same source has not ended")
    if len(queued) >= MAX_QUEUED:
        return Refuse(
            f"overlap policy {overlap}: {len(queued)} plans of the same source wait already, the most allowed"
        )
    if overlap == "cancel_previous":
        return WaitForPrevious((*active, *queued)[0], (*active, *queued))
    return WaitForPrevious(plan_ahead(active, queued))


def plan_ahead(active: Sequence[UUID], queued: Sequence[UUID]) -> UUID:
    """The plan that the next one of a source waits for, at least one being there: the last that waits, else the oldest
    that runs. So the end of a plan changes the reason of one other plan, however long the queue is."""
    return queued[-1] if queued else active[0]


def resolve_target(
    of: Schedule | Trigger, definition: Job | Pipeline | None, engines: Sequence[Engine]
) -> Target:  # fmt: skip
    """The target of a schedule or trigger, ready to start."""
    if definition is None:
        wanted = of.target
        version = f" with version {wanted.version}" if wanted.version else ""
        return Target(None, f"there is no {wanted.kind} {wanted.id}{version}")
    try:
        return Target(placed(definition, engines))
    except NoFittingEngine as error:
        return Target(None, f"{of.target.kind} {of.target.id}: {error.field} {error.allowed}")


def placed(target: Job | Pipeline, engines: Sequence[Engine]) -> Job | Pipeline:
    """The target with an engine wherever it names none: the only one that fits. Raises `NoFittingEngine`."""
    if isinstance(target, Job):
        return target.model_copy(
            update={"engine": choose_engine(engines, work_kind=target.work.kind, named=target.engine).id}
        )
    steps = tuple(
        step.model_copy(update={"engine": choose_engine(engines, work_kind=step.work.kind, named=step.engine).id})
        for step in target.steps
    )
    return target.model_copy(update={"steps": steps})


def tick_request(data: ScheduleTickedData, target: Target, requested_at: datetime) -> StartRequest:
    """The plan of one tick. The event date is that of the intended instant, however late the tick is."""
    schedule = data.schedule
    request = PlanRequestData(
        plan_id=data.plan_id, name=schedule.name, actor=f"schedule:{schedule.id}", origin=Origin.SCHEDULE,
        definitions_revision=data.schedule_revision, event_date=data.event_date,
        what=_what(target.definition, schedule.params),
        labels={**schedule.labels, "schedule": schedule.id},
        reason=f"{data.cause.value} tick of {data.due_at.isoformat()}",
    )  # fmt: skip
    return StartRequest(
        f"schedule:{schedule.id}",
        schedule.overlap,
        request,
        requested_at,
        _project(target.definition, schedule.project),
        target.refusal,
        concurrency=data.concurrency,
    )


def decide_held(missed: Missed, ages: Sequence[float]) -> list[bool]:
    """Which events of a freeze start when it ends, oldest first. An event within the grace is late, and starts."""
    late = [age > missed.grace_seconds for age in ages]
    count = {"none": 0, "latest": 1, "all": missed.max}[missed.policy]
    kept = [number for number, is_late in enumerate(late) if is_late]
    chosen = set(kept[len(kept) - min(count, len(kept)) :])
    return [not is_late or number in chosen for number, is_late in enumerate(late)]


def trigger_request(
    trigger: Trigger, events: Sequence[TriggerEvent], matched: Match, plan_id: UUID, target: Target, revision: int
) -> StartRequest:
    """The plan of one event that matched, or of a batch of them."""
    event = events[-1]
    reason = (
        f"event {event.id} from {event.source}"
        if len(events) == 1
        else (f"{len(events)} events from {event.source}, {events[0].id} to {event.id}")
    )
    request = PlanRequestData(
        plan_id=plan_id, name=trigger.name, actor=f"trigger:{trigger.id}", origin=Origin.TRIGGER,
        definitions_revision=revision, event_date=matched.event_date,
        what=_what(target.definition, dict(matched.params or {})),
        labels={**trigger.labels, "trigger": trigger.id}, reason=reason[:2000],
    )  # fmt: skip
    return StartRequest(
        f"trigger:{trigger.id}", trigger.overlap, request, event.time, _project(target.definition, trigger.project),
        target.refusal,
        event.traceparent,
    )  # fmt: skip


def _what(target: Job | Pipeline | None, params: dict[str, JsonValue]) -> Any:
    if isinstance(target, Job):
        return RunJob(job=target, params=params)
    if isinstance(target, Pipeline):
        return RunPipeline(pipeline=target, params=params)
    return {"kind": "items"}  # an empty list: the plan is refused before it would run


def _project(target: Job | Pipeline | None, otherwise: str) -> str:
    return target.project if target is not None else otherwise
