"""What the operations of reprocessing jobs take and answer, as models, and an example of each."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from signalbox_contracts.definitions.reprocessing import ReprocessingConfig
from signalbox_contracts.messages.reprocessing import (
    BadLine,
    BadLineSample,
    FailedFile,
    ReprocessingProgress,
    ReprocessingStatus,
    ReprocessingWorkerRecord,
)
from signalbox_contracts.samples.definitions import LATER, NOW, OPERATION, PLAN
from signalbox_contracts.vocabulary import Name, Text
from signalbox_gateway.routes.answers import AnswerModel, from_record, page_of


class ReprocessingStartBody(ReprocessingConfig):
    """Which files to send again, and which of their events. Exactly one of `s3_path` and `local_path` is needed."""

    engine: Name | None = None
    """The process engine that runs the workers; the only one or the default one unless named."""
    reason: Text = ""


class ReprocessingWhy(BaseModel):
    """Why, for those who look later."""

    reason: Text = ""


ReprocessingJob: Any = from_record(
    "ReprocessingJob",
    ReprocessingProgress,
    id=(UUID, Field(description="The job, and the plan of its workers.")),
    status=(ReprocessingStatus, ...),
    config=(dict[str, JsonValue], Field(description="What was asked.")),
    created_at=(datetime, ...),
    started_at=(datetime | None, ...),
    completed_at=(datetime | None, ...),
    total_files=(int, ...),
    failed_files=(int, ...),
    progress=(float, Field(description="Files processed of all files, 0 to 1.")),
    total_workers=(int | None, Field(description="Null until the files are listed.")),
    k8s_job_name=(str, ...),
    error=(str | None, ...),
    balanced=(bool, Field(description="Whether lines read = sent + skipped + failed.")),
    failures=(list[FailedFile], ...),
    bad_lines=(list[BadLine], ...),
    plan_id=(UUID, ...),
    engine=(str | None, ...),
    actor=(str, ...),
    reason=(str, ...),
    retry_of=(UUID | None, ...),
)
ReprocessingWorker: Any = from_record("ReprocessingWorker", ReprocessingWorkerRecord)
ReprocessingJobPage = page_of(ReprocessingJob, "ReprocessingJobPage")


class ReprocessingWorkers(AnswerModel):
    """The workers of a job."""

    workers: list[ReprocessingWorker]  # pyright: ignore[reportInvalidTypeForm] -- made from the record


class ReprocessingBadLines(AnswerModel):
    """Lines that could not be sent, 20 at most."""

    bad_lines: list[BadLineSample]


class WorkerLog(AnswerModel):
    """The last lines of one worker."""

    worker_index: int
    pod_name: str
    """What runs the worker: its pod, or the job's name and the worker's index."""
    lines: list[str]
    """Each begins with its time in UTC."""
    error: str | None = None
    """Why there are no lines; null where there is a log."""


class WorkerLogs(AnswerModel):
    """The log of each worker."""

    job_id: UUID
    sorted: Literal[False] = False
    logs: list[WorkerLog]


class WorkerLogLine(AnswerModel):
    """A line of one of the workers."""

    timestamp: str
    """In UTC; empty where the worker's first lines have none."""
    worker_index: int
    pod_name: str
    message: str


class MergedLogs(AnswerModel):
    """The lines of all workers in the order of their times."""

    job_id: UUID
    sorted: Literal[True] = True
    lines: list[WorkerLogLine]


class ReprocessingCancelAnswer(AnswerModel):
    """A cancel was asked for; the job is `cancelled` when its workers have ended."""

    operation_id: UUID
    job: ReprocessingJob  # pyright: ignore[reportInvalidTypeForm] -- made from the record


def examples() -> dict[str, Any]:
    """For each operation id its `request` and `response`."""
    counts = {
        "processed_files": 10, "total_lines": 50_000, "success_count": 49_500, "error_count": 500, "skipped_count": 0,
        "total_bytes": 20_971_520, "processed_bytes": 10_485_760,
        "current_file": "s3://bucket/failover/file_10.ndjson.gz", "current_line": 5000,
        "current_timestamp": "2024-01-15T10:30:45Z",
    }  # fmt: skip
    start = {
        "s3_path": "s3://bucket/failover/", "stream_ids": ["stream1", "stream2"],
        "date_from": "2024-01-01T00:00:00Z", "date_to": "2024-01-31T23:59:59Z",
    }  # fmt: skip
    place = {"path": "s3://bucket/failover/file_7.ndjson.gz", "line": 7, "byte": 4096}
    job: dict[str, Any] = {
        **counts, "id": PLAN, "status": "running", "config": start, "created_at": NOW, "started_at": NOW,
        "completed_at": None, "total_files": 15, "failed_files": 1, "progress": 0.6667, "total_workers": 2,
        "k8s_job_name": f"reprocess-{PLAN}", "error": None, "balanced": True,
        "failures": [{**place, "error": "the gzip data breaks off: the file is truncated"}],
        "bad_lines": [{**place, "reason": "not JSON"}], "plan_id": PLAN, "engine": "local", "actor": "user:ann",
        "reason": "lost on Monday", "retry_of": None,
    }  # fmt: skip
    worker = {
        **counts, "worker_index": 0, "status": "running", "started_at": NOW, "updated_at": LATER,
        "completed_at": None, "assigned_files": 15, "error": None,
    }  # fmt: skip
    why = {"reason": "the wrong bucket"}
    return {
        "reprocess_start": {"request": start, "response": job},
        "reprocess_list": {"response": {"items": [job], "next_cursor": None}},
        "reprocess_show": {"response": job},
        "reprocess_workers": {"response": {"workers": [worker]}},
        "reprocess_samples": {
            "response": {"bad_lines": [{**place, "reason": "not JSON", "sample": '{"messageId": "cut of'}]}
        },
        "reprocess_logs": {
            "response": {
                "job_id": PLAN,
                "sorted": False,
                "logs": [
                    {
                        "worker_index": 0,
                        "pod_name": f"reprocess-{PLAN}-0",
                        "error": None,
                        "lines": ["2024-01-15T10:30:45.123Z INFO s3://bucket/failover/file_7.ndjson.gz: 5000 lines"],
                    }
                ],
            }
        },
        "reprocess_cancel": {"request": why, "response": {"operation_id": OPERATION, "job": job}},
        "reprocess_retry": {"request": {"reason": "the files are whole now"}, "response": job},
    }
