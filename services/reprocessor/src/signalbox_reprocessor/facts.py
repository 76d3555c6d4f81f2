"""What the reprocessor publishes: plans of workers, states of jobs, answers to operations."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.rules import Retries, Rules
from signalbox_contracts.definitions.work import KubernetesWork, ProcessWork
from signalbox_contracts.ids import derived_id
from signalbox_contracts.messages.commands import OperationData
from signalbox_contracts.messages.reprocessing import (
    ReprocessingRecord,
    ReprocessingStated,
    ReprocessingStatus,
    ReprocessingWorkerRecord,
)
from signalbox_contracts.messages.requests import (
    Origin,
    PlanCancel,
    PlanCancelData,
    PlanRequest,
    PlanRequestData,
    RequestedItem,
    RunItems,
)
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.wire import MessageTooLarge

SOURCE: Final = "signalbox/reprocessor"
ITEM: Final = "worker/"
"""What the keys of a job's items begin with; the worker's index follows."""
INDEXED_ITEM: Final = "workers"
"""The key of the only item of a job whose workers are the indexes of an Indexed Job."""
WORKER_ATTEMPTS: Final = 20
"""A worker that is killed goes on from its checkpoints, so often."""
RETRIED_EXIT_CODES: Final = (1, 134, 137, 139, 143)
"""A fault of the moment, and what signals end with. Not: files failed, or the job cannot run as it is."""
SHORT_ERROR: Final = 200
SHORT_LIST: Final = 5
"""Characters of an error, and entries of a list, in a state that would be too large for a message."""
_SUMS: Final = (
    "processed_files", "total_lines", "success_count", "error_count", "skipped_count", "processed_bytes",
)  # fmt: skip


def publish_plan(work: UnitOfWork, job: Row, argv: Iterator[tuple[int, list[str]]], *, parallel: int) -> None:
    """One task a worker. The plan has the job's id."""
    items = tuple(
        RequestedItem(
            key=f"{ITEM}{index}", engine=job["engine"], work=ProcessWork(argv=tuple(words), stop_grace_seconds=10)
        )
        for index, words in argv
    )
    retries = Retries(
        max_attempts=WORKER_ATTEMPTS, retry_on=("failed", "lost"), retry_on_exit_codes=RETRIED_EXIT_CODES,
        delay_seconds=1, max_delay_seconds=5,
    )  # fmt: skip
    _publish(work, job, items, retries, Rules(limit=parallel))


def publish_indexed_plan(work: UnitOfWork, job: Row, pods: KubernetesWork) -> None:
    """One task for all workers: an Indexed Job, which starts pods that fail again by itself. The plan has the job's
    id."""
    item = RequestedItem(key=INDEXED_ITEM, engine=job["engine"], work=pods)
    _publish(work, job, (item,), Retries(max_attempts=1), Rules(limit=1))


def _publish(work: UnitOfWork, job: Row, items: tuple[RequestedItem, ...], retries: Retries, rules: Rules) -> None:
    id: UUID = job["id"]
    data = PlanRequestData(
        plan_id=id, name=f"Reprocessing {id}", actor=job["actor"], reason=job["reason"], origin=Origin.OTHER,
        definitions_revision=job["definitions_revision"], what=RunItems(retries=retries), items=items,
        rules=rules, labels={"job-id": str(id), "kind": "reprocessing"},
    )  # fmt: skip
    work.publish(
        PlanRequest.of(
            data, subject=id, source=SOURCE, time=job["created_at"], aggregateversion=0, project=job["project"],
            traceparent=job["traceparent"],
        )
    )  # fmt: skip


def publish_cancel(work: UnitOfWork, data: OperationData, job_id: UUID, now: datetime) -> None:
    """Stop the plan of a job, and what runs of it."""
    id = derived_id(PlanCancel.type_name(), str(job_id), data.operation_id)
    cancel = PlanCancelData(
        plan_id=job_id, operation_id=UUID(id), actor=data.actor, reason=data.reason or "the job is cancelled", kill=True
    )  # fmt: skip
    work.publish(PlanCancel.of(cancel, subject=job_id, source=SOURCE, time=now, id=id))


def publish_answer(
    work: UnitOfWork, operation_id: UUID, job_id: UUID, operation: str, outcome: Outcome, now: datetime, *,
    reason: str = "", **details: Any,
) -> None:  # fmt: skip
    """Answer an operation about a job."""
    result = OperationResultData(
        operation_id=operation_id, target=f"reprocessing:{job_id}", operation=operation, outcome=outcome,
        reason=reason[:2000], details=details or None,
    )  # fmt: skip
    work.publish(
        OperationResult.of(
            result, subject=f"operation:{operation_id}", source=SOURCE, time=now,
            id=derived_id(OperationResult.type_name(), str(operation_id)),
        )
    )  # fmt: skip


def record_of(
    job: Row | dict[str, Any], workers: Sequence[Row], failures: tuple[int, list[Any]], bad_lines: list[Any]
) -> dict[str, Any]:
    """The state of a job, without its version."""
    latest = max(workers, key=lambda row: (row["current_file"] is not None, row["updated_at"]), default=None)
    current = ("current_file", "current_line", "current_timestamp")
    return {
        **{name: sum(row[name] for row in workers) for name in _SUMS},
        **({name: latest[name] for name in current} if latest is not None else {}),
        "job_id": job["id"], "status": job["status"], "started_at": job["started_at"],
        "completed_at": job["completed_at"], "total_files": job["total_files"], "total_bytes": job["total_bytes"],
        "total_workers": job["total_workers"], "error": job["error"], "failed_files": failures[0],
        "failures": failures[1], "bad_lines": bad_lines,
        "balanced": all(
            row["total_lines"] == row["success_count"] + row["skipped_count"] + row["error_count"] for row in workers
        ),
        "workers": [ReprocessingWorkerRecord.model_validate(dict(row)) for row in workers],
    }  # fmt: skip


def publish_state(work: UnitOfWork, values: dict[str, Any], version: int, now: datetime) -> None:
    """Publish a job's state; long names and errors of many workers and files are cut where it fits no message."""
    try:
        _publish_state(work, values, version, now)
    except MessageTooLarge:
        _publish_state(work, _shortened(values), version, now)


def _shortened(values: dict[str, Any]) -> dict[str, Any]:
    workers = [
        one.model_copy(update={"error": one.error[:SHORT_ERROR] if one.error else None, "current_file": None})
        for one in values["workers"]
    ]
    failures = [{**one, "error": one["error"][:SHORT_ERROR]} for one in values["failures"][:SHORT_LIST]]
    return {**values, "workers": workers, "failures": failures, "bad_lines": values["bad_lines"][:SHORT_LIST]}


def _publish_state(work: UnitOfWork, values: dict[str, Any], version: int, now: datetime) -> None:
    record = ReprocessingRecord.model_validate({**values, "version": version})
    work.publish(
        ReprocessingStated.of(
            record, subject=f"reprocessing:{record.job_id}", source=SOURCE, time=now, aggregateversion=version
        )
    )


def is_pending(status: str) -> bool:
    return status == ReprocessingStatus.PENDING.value
