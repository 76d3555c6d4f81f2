"""The messages of the planner: plans and items on plans.v1, commands on task-commands.v1, answers on states.v1."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from opentelemetry import context as otel_context
from pydantic import JsonValue, TypeAdapter

from signalbox_chassis.messaging import notices
from signalbox_chassis.messaging.received import Received
from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.dead_letters import DeadLetterOutcome
from signalbox_contracts.messages.plans import (
    Counts,
    Decision,
    Expected,
    ItemRecord,
    PlanItems,
    PlanItemsData,
    PlanRecord,
    PlanStated,
    PlanTransition,
    StepSummary,
)
from signalbox_contracts.messages.requests import PlanCancelData
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.messages.task_commands import (
    PlanRules,
    PlanRulesData,
    TasksCancel,
    TasksCancelData,
    TasksEnsure,
    TasksEnsureData,
    TaskSpec,
)
from signalbox_contracts.pages import packed
from signalbox_contracts.states import PlanState, TaskState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner.effects import CancelTasks, EnsureTasks, PublishItems, PublishRules, QueryTasks
from signalbox_planner.graph import GraphStep, priority_of
from signalbox_planner.lifecycle import expected, waiting
from signalbox_planner.plan import PAGE_ITEMS, Item, Plan

SOURCE: Final = "signalbox/planner"
_WORK: Final[TypeAdapter[Any]] = TypeAdapter(Work)
_DETAILED_STEPS: Final = 100
"""With more steps, `plan.state` leaves out reasons and edges, so that it always fits a message."""
_SMALL_WORK_BYTES: Final = 1000
"""Work of at most this size fits a message in any number a message may carry."""


@contextmanager
def in_trace(plan: Plan) -> Generator[None]:
    """Messages published inside belong to the trace of the plan's request."""
    token = otel_context.attach(telemetry.extract({"traceparent": plan.traceparent or ""}))
    try:
        yield
    finally:
        otel_context.detach(token)


def publish_plan(work: UnitOfWork, plan: Plan, at: datetime, *, id: UUID | None = None) -> None:
    """`plan.state`. A repetition has an id of its own, so that it is not taken for a duplicate."""
    spec, rules = plan.spec, plan.rules
    record = PlanRecord(
        plan_id=plan.id, version=plan.version, state=plan.state, name=spec.name, project=spec.project,
        origin=spec.origin, actor=spec.actor, target=spec.target, target_version=spec.target_version,
        parent=spec.parent, labels=spec.labels, event_date=spec.event_date, counts=plan.counts,
        steps=_step_summaries(plan), rules=rules.rules,
        rules_version=rules.version, rules_confirmed=rules.confirmed, waiting=waiting(plan),
        reason=plan.reason, created_at=plan.created_at, started_at=plan.started_at, ended_at=plan.ended_at,
        preview_hash=spec.preview.hash if spec.preview else None,
        preview_expires_at=spec.preview.expires_at if spec.preview else None,
        difference=spec.preview.difference if spec.preview else None,
        expected=expected(plan), answered=tuple(str(id) for id in plan.answered)[:MAX_ITEMS],
        transitions=plan.transitions,
    )  # fmt: skip
    work.publish(PlanStated.of(record, subject=plan.id, source=SOURCE, time=at, aggregateversion=plan.version, id=id))


def publish_unread(work: UnitOfWork, cancel: PlanCancelData, error: str, at: datetime) -> None:
    """`plan.state` of a plan whose request could not be read, ended by a person. There is no row of it here."""
    reason = f"cancelled by {cancel.actor}; its request could not be read: {error}"[:2000]
    moved = PlanTransition(version=1, state=PlanState.CANCELLED, at=at, actor=cancel.actor, reason=reason)
    record = PlanRecord(
        plan_id=cancel.plan_id, version=1, state=PlanState.CANCELLED, name="A request that could not be read",
        actor=cancel.actor, reason=reason, created_at=at, ended_at=at, answered=(str(cancel.operation_id),),
        expected=Expected(items=0, tasks=0, item_pages=0, task_versions=0), transitions=(moved,),
    )  # fmt: skip
    work.publish(PlanStated.of(record, subject=cancel.plan_id, source=SOURCE, time=at, aggregateversion=1))


def publish_dropped(work: UnitOfWork, dropped: Sequence[Row], at: datetime) -> None:
    """`dead_letter.state` of parked messages that the planner settled with a cancel: rows of id and attempts."""
    for row in dropped:
        work.publish(notices.parked_state("planner", row["id"], DeadLetterOutcome.DROPPED, row["attempts"], at))


def publish_items(work: UnitOfWork, plan: Plan, effect: PublishItems, at: datetime) -> None:
    """`plan.items`: one page of at most 200. A repeated page has the plan's version, so that newer states win."""
    version = plan.version if effect.repeated else 1
    records = tuple(_item_record(plan, item) for item in effect.items)
    data = PlanItemsData.model_construct(
        plan_id=plan.id, round=0, version=version, page=effect.page, pages=plan.intake.pages, items=records
    )
    id = uuid4() if effect.repeated else None
    work.publish(PlanItems.of(data, subject=plan.id, source=SOURCE, time=at, aggregateversion=version, id=id))


def _item_record(plan: Plan, item: Item) -> ItemRecord:
    """An item that ended without a task has its state and reason here: no fact of a task carries them."""
    skipped = item.state in ("SKIPPED", "REUSED")
    state = None if item.task_version or skipped or item.state is None else TaskState(item.state)
    step = None if item.step is None or plan.progress is None else plan.progress.graph.steps[item.step].step.id
    return ItemRecord.model_construct(
        key=item.key, position=item.position, decision=Decision.SKIP if skipped else Decision.RUN,
        reason=item.reason or "", step=step, engine=item.engine, task_id=task_id(item.plan_id, item.key), state=state,
    )  # fmt: skip


def _step_summaries(plan: Plan) -> tuple[StepSummary, ...]:
    if plan.progress is None:
        return ()
    steps, runs = plan.progress.graph.steps, plan.progress.runs
    detailed = len(steps) <= _DETAILED_STEPS
    return tuple(
        StepSummary(
            id=step.step.id, counts=Counts(total=step.size, **run.counts._asdict()), state=run.state,
            reason=run.reason if detailed else "", started_at=run.started_at, ended_at=run.ended_at,
            compensates=step.step.compensates,
            depends_on=tuple(
                steps[other].step.id if when == "on_success" else f"{steps[other].step.id}:{when}"
                for other, when in step.depends_on
            ) if detailed else (),
        )
        for step, run in zip(steps, runs, strict=True)
    )  # fmt: skip


def rules_of(plan: Plan) -> Rules:
    """The rules for the executor. A canary or a brake that struck would hold the compensations, so those have none."""
    rules = plan.rules.rules
    compensating = plan.progress is not None and plan.progress.compensating
    return rules.model_copy(update={"canary": None, "brake": None}) if compensating else rules


def publish_rules(work: UnitOfWork, plan: Plan, effect: PublishRules, at: datetime) -> None:
    """`plan.rules`. Those of an ended plan have one more version and are closed."""
    version = plan.rules.closing_version if plan.ended else plan.rules.version
    hold = plan.hold
    limits = rules_of(plan)
    held_reason = f"paused by {hold.actor}: {hold.reason}" if hold.reason else f"paused by {hold.actor}"
    data = PlanRulesData(
        plan_id=plan.id, version=version, rules=limits, held=hold.held,
        held_reason=held_reason[:2000] if hold.held else "", closed=plan.ended,
        project=plan.spec.project,
    )  # fmt: skip
    id = uuid4() if effect.repeated else None
    work.publish(PlanRules.of(data, subject=plan.id, source=SOURCE, time=at, aggregateversion=version, id=id))


def ensure_tasks(work: UnitOfWork, plan: Plan, effect: EnsureTasks, at: datetime) -> None:
    """`tasks.ensure` with complete specs, in as few messages as fit."""
    specs = [_spec(plan, item) for item in effect.items]
    small = all(len(item.work) <= _SMALL_WORK_BYTES for item in effect.items) and len(plan.spec.params) < 5
    pages = [tuple(specs[n : n + MAX_ITEMS]) for n in range(0, len(specs), MAX_ITEMS)] if small else packed(specs)
    for page in pages:
        _ensure(work, plan, at, tasks=page)


def query_tasks(work: UnitOfWork, plan: Plan, effect: QueryTasks, at: datetime) -> None:
    """`tasks.ensure` with ids only."""
    for n in range(0, len(effect.items), MAX_ITEMS):
        page = effect.items[n : n + MAX_ITEMS]
        ids = tuple(task_id(item.plan_id, item.key) for item in page)
        _ensure(work, plan, at, known=ids, versions=tuple(item.task_version for item in page))


def cancel_tasks(work: UnitOfWork, plan: Plan, effect: CancelTasks, at: datetime) -> None:
    """`tasks.cancel` of these items, or of all the plan has."""
    stop = effect.stop
    for n in range(0, max(len(effect.items), 1), MAX_ITEMS):
        ids = tuple(task_id(item.plan_id, item.key) for item in effect.items[n : n + MAX_ITEMS])
        data = TasksCancelData(plan_id=plan.id, task_ids=ids, kill=stop.kill, actor=stop.actor, reason=stop.reason)
        work.publish(TasksCancel.of(data, subject=plan.id, source=SOURCE, time=at, id=uuid4()))


def answer(
    work: UnitOfWork, cause: Received[Any], plan_id: UUID | None, outcome: Outcome, reason: str, at: datetime, *,
    details: JsonValue = None,
) -> None:  # fmt: skip
    """`operation.result` of a command that no fact answers. Without a plan the command is about all of them."""
    operation = cause.event.type.removeprefix("signalbox.").removesuffix(".v1")
    operation_id: UUID = cause.event.data.operation_id
    target = f"plan:{plan_id}" if plan_id else "plans:all"
    data = OperationResultData(
        operation_id=operation_id, target=target, operation=operation, outcome=outcome, reason=reason[:2000],
        details=details,
    )  # fmt: skip
    work.publish(
        OperationResult.of(data, subject=target, source=SOURCE, time=at, id=f"{operation_id}:{outcome}"), cause=cause
    )


def pages_of(total: int) -> int:
    """How many pages this many items take."""
    return max(1, -(-total // PAGE_ITEMS))


def _ensure(work: UnitOfWork, plan: Plan, at: datetime, **which: Any) -> None:
    data = TasksEnsureData.model_construct(
        plan_id=plan.id, project=plan.spec.project, definitions_revision=plan.definitions_revision,
        rules_version=plan.rules.version, tasks=which.get("tasks", ()), known=which.get("known", ()),
        versions=which.get("versions", ()),
    )  # fmt: skip
    work.publish(TasksEnsure.of(data, subject=plan.id, source=SOURCE, time=at, id=uuid4()))


def _spec(plan: Plan, item: Item) -> TaskSpec:
    """Not validated again: everything was, when the request was read."""
    spec = plan.spec
    if plan.progress is not None and item.step is not None:
        return _step_spec(plan, item, plan.progress.graph.steps[item.step])
    return TaskSpec.model_construct(
        task_id=task_id(item.plan_id, item.key), item_key=item.key, position=item.position, step=None,
        engine=item.engine, work=_WORK.validate_json(item.work), params=spec.params, event_date=spec.event_date,
        retries=spec.retries, time_limits=spec.time_limits, priority=spec.priority, on_unknown=spec.on_unknown,
        not_before_at=None, group=None, group_limit=None, expected=None, labels=spec.labels, target=spec.target,
        target_version=spec.target_version,
    )  # fmt: skip


def _step_spec(plan: Plan, item: Item, step: GraphStep) -> TaskSpec:
    spec, definition = plan.spec, step.step
    combination: dict[str, Any] = json.loads(item.combination) if item.combination else {}
    return TaskSpec.model_construct(
        task_id=task_id(item.plan_id, item.key), item_key=item.key, position=item.position, step=definition.id,
        engine=item.engine, work=_WORK.validate_json(item.work), params={**spec.params, **combination},
        event_date=spec.event_date, retries=definition.retries, time_limits=definition.time_limits,
        priority=priority_of(step, spec.priority), on_unknown=definition.on_unknown, not_before_at=None,
        group=definition.id if definition.concurrency else None, group_limit=definition.concurrency, expected=None,
        labels=spec.labels,
    )  # fmt: skip
