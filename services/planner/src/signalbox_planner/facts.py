"""What the planner says: of plans and items on plans.v1, to executors on task-commands.v1, to askers on states.v1."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from opentelemetry import context as otel_context
from pydantic import JsonValue, TypeAdapter

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.observability import telemetry
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.work import Work
from signalbox_contracts.ids import task_id
from signalbox_contracts.messages.plans import (
    Decision,
    ItemRecord,
    PlanItems,
    PlanItemsData,
    PlanRecord,
    PlanStated,
    PlanTransition,
)
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
from signalbox_contracts.states import TaskState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_planner.lifecycle import PAGE_ITEMS, Plan, closing_version, expected, waiting
from signalbox_planner.store.items import Item

SOURCE: Final = "signalbox/planner"
_WORK: Final[TypeAdapter[Any]] = TypeAdapter(Work)
_SMALL_BYTES: Final = 1000
"""Work of at most this size fits a message in any number a message may carry."""


@contextmanager
def in_trace(plan: Plan) -> Generator[None]:
    """What is published inside goes on with the trace of the plan's request."""
    token = otel_context.attach(telemetry.extract({"traceparent": plan.traceparent or ""}))
    try:
        yield
    finally:
        otel_context.detach(token)


def say(work: UnitOfWork, plans: Iterable[Plan], at: datetime) -> list[Plan]:
    """State those plans that have something new to say; the plans as they are once it is said, to be saved."""
    said: list[Plan] = []
    for plan in plans:
        if not plan.to_say:
            said.append(plan)
            continue
        state(work, plan, at)
        said.append(replace(plan, said_version=plan.version, answered=()))
    return said


def told(work: UnitOfWork, plan: Plan, at: datetime, moves: tuple[PlanTransition, ...]) -> None:
    """`plan.state` for whoever asks: under an id of its own, so that it is no duplicate, with every move it made."""
    state(work, replace(plan, moves=moves, answered=()), at, id=uuid4())


def state(work: UnitOfWork, plan: Plan, at: datetime, *, id: UUID | None = None) -> None:
    """`plan.state`. With an id of its own it is a repetition, which is no duplicate."""
    frame = plan.frame
    record = PlanRecord(
        plan_id=plan.id, version=plan.version, state=plan.state, name=frame.name, project=frame.project,
        origin=frame.origin, actor=frame.actor, target=frame.target, target_version=frame.target_version,
        parent=frame.parent, labels=frame.labels, event_date=frame.event_date, counts=plan.counts, rules=plan.rules,
        rules_version=plan.rules_version, rules_confirmed=plan.rules_confirmed, waiting=waiting(plan),
        reason=plan.reason, created_at=plan.created_at, started_at=plan.started_at, ended_at=plan.ended_at,
        expected=expected(plan), answered=tuple(str(id) for id in plan.answered)[:MAX_ITEMS],
        transitions=plan.moves,
    )  # fmt: skip
    with in_trace(plan):
        work.publish(
            PlanStated.of(record, subject=plan.id, source=SOURCE, time=at, aggregateversion=plan.version, id=id)
        )


def items(work: UnitOfWork, plan: Plan, page: int, rows: Sequence[Item], at: datetime, *, again: bool = False) -> None:
    """`plan.items`: one page of at most 200. Said again it has the plan's version, so that newer states win."""
    version = plan.version if again else 1
    records = tuple(
        ItemRecord.model_construct(
            key=row.key, position=row.position, decision=Decision.RUN, engine=row.engine,
            task_id=task_id(row.plan_id, row.key), state=None if row.task_version else _never_sent(row.state),
        )
        for row in rows
    )  # fmt: skip
    data = PlanItemsData.model_construct(
        plan_id=plan.id, round=0, version=version, page=page, pages=plan.pages, items=records
    )  # fmt: skip
    with in_trace(plan):
        work.publish(
            PlanItems.of(
                data, subject=plan.id, source=SOURCE, time=at, aggregateversion=version, id=uuid4() if again else None
            )
        )


def _never_sent(state: str | None) -> TaskState | None:
    """An item that was cancelled before it became a task: only its page can say so."""
    return TaskState(state) if state else None


def rules(work: UnitOfWork, plan: Plan, at: datetime, *, again: bool = False) -> None:
    """`plan.rules`. One more version closes them: the plan has ended."""
    version = closing_version(plan) if plan.ended else plan.rules_version
    held_reason = f"paused by {plan.held_by}: {plan.held_reason}" if plan.held_reason else f"paused by {plan.held_by}"
    data = PlanRulesData(
        plan_id=plan.id, version=version, rules=plan.rules, held=plan.held,
        held_reason=held_reason[:2000] if plan.held else "", closed=plan.ended,
    )  # fmt: skip
    with in_trace(plan):
        work.publish(
            PlanRules.of(
                data, subject=plan.id, source=SOURCE, time=at, aggregateversion=version, id=uuid4() if again else None
            )
        )


def ensure(work: UnitOfWork, plan: Plan, rows: Sequence[Item], at: datetime) -> None:
    """`tasks.ensure` with whole specs, in as few messages as fit."""
    specs = [_spec(plan, row) for row in rows]
    small = all(len(row.work) <= _SMALL_BYTES for row in rows) and len(plan.frame.params) < 5
    pages = [tuple(specs[n : n + MAX_ITEMS]) for n in range(0, len(specs), MAX_ITEMS)] if small else packed(specs)
    with in_trace(plan):
        for page in pages:
            _ensure(work, plan, at, tasks=page)


def ask(work: UnitOfWork, plan: Plan, rows: Sequence[Item], at: datetime) -> None:
    """`tasks.ensure` with ids only: say how they are."""
    with in_trace(plan):
        for n in range(0, len(rows), MAX_ITEMS):
            known = tuple(task_id(row.plan_id, row.key) for row in rows[n : n + MAX_ITEMS])
            _ensure(work, plan, at, known=known)


def cancel(
    work: UnitOfWork, plan: Plan, at: datetime, rows: Sequence[Item] = (), *, kill: bool, by: str, why: str
) -> None:
    """`tasks.cancel` of these items, or of all the plan has."""
    with in_trace(plan):
        for n in range(0, max(len(rows), 1), MAX_ITEMS):
            ids = tuple(task_id(row.plan_id, row.key) for row in rows[n : n + MAX_ITEMS])
            data = TasksCancelData(plan_id=plan.id, task_ids=ids, kill=kill, actor=by, reason=why)
            work.publish(TasksCancel.of(data, subject=plan.id, source=SOURCE, time=at, id=uuid4()))


def answer(
    work: UnitOfWork, cause: Received[Any], plan_id: UUID | None, outcome: Outcome, reason: str, at: datetime, *,
    details: JsonValue = None,
) -> None:  # fmt: skip
    """`operation.result` for what no fact answers. `cause` is the command; without a plan it is about all of them."""
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
        plan_id=plan.id, project=plan.frame.project, definitions_revision=plan.definitions_revision,
        rules_version=plan.rules_version, tasks=which.get("tasks", ()), known=which.get("known", ()),
    )  # fmt: skip
    work.publish(TasksEnsure.of(data, subject=plan.id, source=SOURCE, time=at, id=uuid4()))


def _spec(plan: Plan, row: Item) -> TaskSpec:
    """Not validated again: everything was, when the request was read."""
    frame = plan.frame
    return TaskSpec.model_construct(
        task_id=task_id(row.plan_id, row.key), item_key=row.key, position=row.position, step=None, engine=row.engine,
        work=_WORK.validate_json(row.work), params=frame.params, event_date=frame.event_date, retries=frame.retries,
        time_limits=frame.time_limits, priority=frame.priority, on_unknown=frame.on_unknown, not_before_at=None,
        group=None, group_limit=None, expected=None, labels=frame.labels,
    )  # fmt: skip
