"""Events of the live feed, from facts. Pure.

The nine documented types are those of `notices`; a transition that has none of them is `workflow.changed` or
`task.changed`, so that a client sees every transition.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from signalbox_contracts.messages.dead_letters import DeadLetterParkedData
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.reprocessing import ReprocessingRecord, ReprocessingStatus
from signalbox_contracts.messages.tasks import TaskProgressData, TaskRecord
from signalbox_contracts.notifications import NOTIFICATION, Message
from signalbox_notifier.notices import Notice, PlanSummary, plan_notices, summary, task_notices
from signalbox_notifier.steps import StepChange

_KNOWN = {name: name for name in ("info", "warning", "error", "critical")}
SYSTEM = UUID(int=0)
"""Events that belong to no plan have this one's sequence."""


def plan_events(record: PlanRecord, after_version: int) -> Iterator[str]:
    """One event for each transition of a plan after this version, as JSON."""
    notices = {notice.event_id.rpartition(":")[2]: notice for notice in plan_notices(record, after_version)}
    plan = summary(record)
    for made in record.transitions:
        if made.version <= after_version:
            continue
        notice = notices.get(str(made.version))
        counts = record.counts.model_dump(exclude_defaults=True)
        yield _event(
            plan, notice.type if notice else "workflow.changed", severity=notice.severity if notice else "info",
            timestamp=made.at, status=made.state.value, version=made.version, message=made.reason,
            data={"counts": counts, "parent": record.parent},
        )  # fmt: skip


def task_events(record: TaskRecord, plan: PlanSummary, after_version: int) -> Iterator[str]:
    """One event for each transition of a task after this version, as JSON."""
    notices = {notice.event_id.rpartition(":")[2]: notice for notice in task_notices(record, plan, after_version)}
    for made in record.transitions:
        if made.version <= after_version:
            continue
        notice = notices.get(str(made.version))
        yield _event(
            plan, notice.type if notice else "task.changed", severity=notice.severity if notice else "info",
            timestamp=made.at, status=made.state.value, version=made.version, task_id=record.task_id,
            message=(notice.text if notice else made.reason)[:2000],
            data={"item": record.item_key, "engine": record.engine, "attempt": made.attempt},
        )  # fmt: skip


def step_event(notice: Notice, change: StepChange, report: TaskProgressData, version: int) -> str:
    """One try of one part of a run began or ended, as JSON. `version` is that of the task it belongs to."""
    return _event(
        notice.plan, notice.type, severity=notice.severity, timestamp=change.at, status=change.state.value,
        version=version, task_id=report.task_id, message=notice.text,
        data={"step": change.step, "attempt": change.attempt, "state": change.word},
    )  # fmt: skip


def progress_event(record: ReprocessingRecord, plan: PlanSummary, at: Any) -> str:
    """How far a reprocessing job and each of its workers are."""
    counts = {"processed_files", "total_lines", "success_count", "error_count", "skipped_count"}
    place = counts | {"worker_index", "status", "assigned_files", "current_file", "current_line"}
    data = record.model_dump(mode="json", include=counts | {"total_files", "failed_files", "balanced"})
    workers = [worker.model_dump(mode="json", include=place) for worker in record.workers]
    return _event(
        plan, "reprocessing.progress", severity="error" if record.status is ReprocessingStatus.FAILED else "info",
        timestamp=at, status=record.status.value, version=record.version, message=record.error or "",
        data={**data, "workers": workers},
    )  # fmt: skip


def parked_event(data: DeadLetterParkedData, at: Any) -> str:
    """A message that a service put aside."""
    plan = PlanSummary(SYSTEM, "Signalbox")
    return _event(
        plan, "system.message_parked", severity="error", timestamp=at, status="PARKED", version=0,
        message=f"{data.service} parked a message of {data.topic}: {data.error}"[:2000],
        data={"service": data.service, "dead_letter_id": data.dead_letter_id},
    )  # fmt: skip


def notification_event(user: str | None, message: Message) -> str:
    """A message to a channel of kind `websocket`, for everybody who may see its project, or one user."""
    plan = PlanSummary(SYSTEM, message.plan_name or "Signalbox", message.project, message.target, message.labels)
    data = {"about": message.type, "text": message.text, "incident_id": message.incident_id, "to": user}
    return _event(
        plan, NOTIFICATION, severity=_KNOWN.get(message.severity, "info"), timestamp=message.at, status="",
        version=0, message=message.title, data={**data, "plan_id": message.plan_id, "link": message.link},
    )  # fmt: skip


def _event(plan: PlanSummary, type: str, *, severity: str, **fields: Any) -> str:
    target = plan.target or ""
    values: dict[str, Any] = {
        "type": type, "category": type.partition(".")[0], "severity": severity,
        "workflow_id": target.partition(":")[2] or None, "target": plan.target,
        "run_id": None if plan.plan_id == SYSTEM else plan.plan_id, "task_id": None,
        "user_id": plan.actor.removeprefix("user:") or None, "project": plan.project, "labels": dict(plan.labels),
        "name": plan.name, **fields,
    }  # fmt: skip
    return to_json(values).decode()
