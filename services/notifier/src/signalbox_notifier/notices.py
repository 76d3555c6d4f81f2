"""Which facts become notifications, in the terms of subscriptions. Pure.

Nine event types are documented: `workflow.triggered`, `started`, `completed`, `failed`, `stopped`, `retried`, and
`task.started`, `completed`, `failed`. `workflow_failed` means `workflow.failed`. A workflow here is any plan.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.definitions.channel import Severity, Subscription, event_type
from signalbox_contracts.definitions.trigger import pattern_matches
from signalbox_contracts.messages.plans import PlanRecord, PlanTransition
from signalbox_contracts.messages.tasks import TaskRecord
from signalbox_contracts.states import PlanState, TaskState

SEVERITIES: Final[Mapping[Severity, int]] = {"info": 0, "warning": 1, "error": 2, "critical": 3}
_PLAN: Final[Mapping[PlanState, tuple[str, Severity]]] = {
    PlanState.RUNNING: ("workflow.started", "info"),
    PlanState.SUCCEEDED: ("workflow.completed", "info"),
    PlanState.COMPLETED_WITH_ERRORS: ("workflow.failed", "error"),
    PlanState.FAILED: ("workflow.failed", "error"),
    PlanState.REFUSED: ("workflow.failed", "error"),
    PlanState.CANCELLED: ("workflow.stopped", "warning"),
}
_TASK: Final[Mapping[TaskState, tuple[str, Severity]]] = {
    TaskState.RUNNING: ("task.started", "info"),
    TaskState.SUCCEEDED: ("task.completed", "info"),
    TaskState.FAILED: ("task.failed", "error"),
}
FAILURES: Final = frozenset({"workflow.failed", "task.failed"})
_VARIES: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|\b[0-9a-f]{12,}\b|\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What is known of a plan when one of its tasks is told about."""

    plan_id: UUID
    name: str = ""
    project: str = "default"
    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    event_date: date | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened. `event_id` is the same whenever it is told again."""

    event_id: str
    type: str
    severity: Severity
    title: str
    text: str
    at: datetime
    plan: PlanSummary
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def grouping(self) -> str:
        """What belongs to one incident: the job or pipeline, or the plan of a list."""
        return f"{self.plan.project}/{self.plan.target or f'plan:{self.plan.plan_id}'}"

    @property
    def fingerprint(self) -> str:
        """The same cause has the same fingerprint: numbers, ids and addresses in the error do not count."""
        return hashlib.sha256(f"{self.type}\n{_VARIES.sub('#', self.text)}".encode()).hexdigest()[:32]


def plan_notices(record: PlanRecord, after_version: int, error: str = "") -> Iterator[Notice]:
    """What the transitions of a plan after this version are worth telling. `error` is that of its first failed task."""
    plan = summary(record)
    before: PlanState | None = None
    for made in record.transitions:
        previous, before = before, made.state
        if made.version <= after_version:
            continue
        if made.state is PlanState.ACCEPTED:
            kind: tuple[str, Severity] = ("workflow.retried" if record.parent else "workflow.triggered", "info")
        elif made.state in _PLAN and not (made.state is PlanState.RUNNING and _resumed(record, made, previous)):
            kind = _PLAN[made.state]
        else:
            continue
        text = made.reason or error or _failed_items(record) if kind[0] in FAILURES else made.reason
        title = f"{record.name}: {made.state.value.replace('_', ' ').lower()}"[:200]
        yield Notice(
            event_id=f"plan:{record.plan_id}:{made.version}", type=kind[0], severity=kind[1],
            title=title, text=text, at=made.at, plan=plan,
            details={
                "state": made.state.value, "actor": made.actor or record.actor,
                "counts": record.counts.model_dump(exclude_defaults=True),
            },
        )  # fmt: skip


def task_notices(record: TaskRecord, plan: PlanSummary, after_version: int) -> Iterator[Notice]:
    """What the transitions of a task after this version are worth telling."""
    for made in record.transitions:
        if made.version <= after_version or made.state not in _TASK:
            continue
        kind, severity = _TASK[made.state]
        text = (record.error or made.reason) if kind in FAILURES else made.reason
        title = f"{plan.name or plan.plan_id} / {record.item_key}: {made.state.value.lower()}"[:200]
        yield Notice(
            event_id=f"task:{record.task_id}:{made.version}", type=kind, severity=severity,
            title=title, text=text[:2000], at=made.at, plan=plan,
            details={
                "task_id": str(record.task_id), "item": record.item_key, "engine": record.engine,
                "attempt": made.attempt, "exit_code": record.exit_code, "handle_url": record.handle_url,
            },
        )  # fmt: skip


def summary(record: PlanRecord) -> PlanSummary:
    """What is kept of a plan."""
    return PlanSummary(
        record.plan_id,
        record.name,
        record.project,
        record.target,
        dict(record.labels),
        record.event_date,
        record.actor,
    )


def wants(subscription: Subscription, notice: Notice) -> bool:
    """Whether a subscription is about this. Without event patterns it is about everything but single tasks."""
    if not subscription.enabled or SEVERITIES[notice.severity] < SEVERITIES[subscription.at_least]:
        return False
    patterns = [event_type(one) for one in subscription.events] or ["workflow.*", "system.*", "deadline.*"]
    if not any(pattern_matches(pattern, notice.type) for pattern in patterns):
        return False
    if subscription.plans and notice.plan.plan_id not in subscription.plans:
        return False
    target, schedule = (notice.plan.target or "").partition(":")[2], notice.plan.actor.partition("schedule:")[2]
    if subscription.targets and not {target, schedule} & set(subscription.targets):
        return False
    if subscription.project not in ("default", notice.plan.project):
        return False
    return all(notice.plan.labels.get(name) == value for name, value in subscription.match_labels.items())


def _resumed(record: PlanRecord, made: PlanTransition, previous: PlanState | None) -> bool:
    """Whether a plan runs again after a pause, rather than for the first time."""
    if previous is not None:
        return previous is PlanState.PAUSED
    return record.started_at is not None and made.at > record.started_at


def _failed_items(record: PlanRecord) -> str:
    counts = record.counts
    return f"{counts.failed} of {counts.total} items failed" if counts.failed else "it did not succeed"
