"""Plans that nobody asked for by hand: what a tick or an event starts, and whether it may start now. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from pydantic import JsonValue

from signalbox_contracts.definitions.condition import ConditionFailed, InvalidCondition, compile_condition
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.placement import NoFittingEngine, choose_engine
from signalbox_contracts.definitions.schedule import Overlap, Schedule
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.messages.requests import Origin, PlanRequestData, RunJob, RunPipeline
from signalbox_contracts.messages.states import MatchOutcome
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


@dataclass(frozen=True, slots=True)
class StartNow:
    """Nothing is in the way."""


@dataclass(frozen=True, slots=True)
class WaitForPrevious:
    """Start when the plans of the same source have ended; those in `cancel` are cancelled for it."""

    behind: UUID
    cancel: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not start, for this reason."""

    reason: str


def decide_overlap(overlap: Overlap, active: Sequence[UUID], queued: int) -> StartNow | WaitForPrevious | Refuse:
    """Whether a plan may start beside the `active` plans of its source, oldest first, and `queued` waiting ones."""
    if overlap == "allow" or not (active or queued):
        return StartNow()
    if overlap == "skip":
        running = active[0] if active else "a waiting one"
        return Refuse(f"overlap policy skip: plan {running} of the same source has not ended")
    if queued >= MAX_QUEUED:
        return Refuse(f"overlap policy {overlap}: {queued} plans of the same source wait already, the most allowed")
    behind = active[0] if active else UUID(int=0)
    return WaitForPrevious(behind, tuple(active) if overlap == "cancel_previous" else ())


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
        labels=_labels(schedule.labels, schedule=schedule.id),
        reason=f"{data.cause.value} tick of {data.due_at.isoformat()}",
    )  # fmt: skip
    return StartRequest(
        f"schedule:{schedule.id}",
        schedule.overlap,
        request,
        requested_at,
        _project(target.definition, schedule.project),
        target.refusal,
    )


@dataclass(frozen=True, slots=True)
class Match:
    """What a trigger makes of one event. `params` and `event_date` are for the plan, when it matched."""

    outcome: MatchOutcome
    why: str = ""
    params: Mapping[str, JsonValue] | None = None
    event_date: date | None = None


def match(trigger: Trigger, event: TriggerEvent) -> Match | None:
    """Judge one event; None when its attributes are not those the trigger looks at."""
    if trigger.paused:
        return None
    if not trigger.match.attributes_match(type=event.type, source=event.source, subject=event.subject):
        return None
    document = _document(event)
    if trigger.match.condition is not None:
        try:
            if not compile_condition(trigger.match.condition).holds(document):
                return Match(MatchOutcome.NOT_MATCHED, "the condition is false")
        except (ConditionFailed, InvalidCondition) as error:
            return Match(MatchOutcome.NOT_MATCHED, f"the condition: {error}")
    params: dict[str, JsonValue] = {}
    for name, pointer in trigger.mapping.items():
        try:
            params[name] = _at(document, pointer)
        except LookupError:
            return Match(MatchOutcome.REFUSED, f"mapping.{name}: the event has nothing at {pointer}")
    if trigger.event_date_from is None:
        return Match(MatchOutcome.MATCHED, params=params, event_date=(event.time - timedelta(days=1)).date())
    try:
        day = _date(_at(document, trigger.event_date_from))
    except (LookupError, ValueError):
        return Match(MatchOutcome.REFUSED, f"event_date_from: there is no date at {trigger.event_date_from}")
    return Match(MatchOutcome.MATCHED, params=params, event_date=day)


def debounce_key(trigger: Trigger, event: TriggerEvent) -> str:
    """Events of one trigger with the same key are debounced together."""
    if trigger.debounce_by is None:
        return ""
    try:
        return str(_at(_document(event), trigger.debounce_by))[:512]
    except LookupError:
        return ""


def trigger_request(
    trigger: Trigger, event: TriggerEvent, matched: Match, plan_id: UUID, target: Target, revision: int
) -> StartRequest:
    """The plan of one event that matched."""
    request = PlanRequestData(
        plan_id=plan_id, name=trigger.name, actor=f"trigger:{trigger.id}", origin=Origin.TRIGGER,
        definitions_revision=revision, event_date=matched.event_date,
        what=_what(target.definition, dict(matched.params or {})),
        labels=_labels(trigger.labels, trigger=trigger.id), reason=f"event {event.id} from {event.source}"[:2000],
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


def _labels(labels: Mapping[str, str], **more: str) -> dict[str, str]:
    return {**more, **dict(list(labels.items())[:49])}


def _document(event: TriggerEvent) -> dict[str, Any]:
    return {
        "id": event.id, "source": event.source, "type": event.type, "subject": event.subject,
        "time": event.time.isoformat(), "data": event.data,
    }  # fmt: skip


def _at(document: object, pointer: str) -> Any:
    """The value at a JSON Pointer (RFC 6901). Raises `LookupError`."""
    value = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = cast("dict[str, object]", value)[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 10:
            value = cast("list[object]", value)[int(key)]
        else:
            raise LookupError(pointer)
    return value


def _date(value: object) -> date:
    """A date, or the date of an instant as it is written. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value).date()
