"""What the operations of Flink jobs answer, as models, and an example of each."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.artifacts import FlinkSavepoint, Pin
from signalbox_contracts.samples.definitions import LATER, NOW, OPERATION, PLAN, TASK
from signalbox_contracts.states import PlanState
from signalbox_gateway.routes.answers import AnswerModel, from_record, page_of


class JobScheduleAnswer(AnswerModel):
    """The cron rule of a job."""

    jobId: str  # noqa: N815 -- the document's own names
    scheduleId: str  # noqa: N815
    """The schedule that carries the rule."""
    cron: str
    zone: str
    next: list[datetime]
    """The next instants at which it is due."""


class Execution(AnswerModel):
    """One run of a job, in the fields of the Flink job orchestrator's document."""

    id: UUID
    """The plan."""
    jobId: str  # noqa: N815
    jobVersion: int | None  # noqa: N815
    status: str
    """PENDING, RUNNING, UNKNOWN, SUCCEEDED, FAILED or STOPPED."""
    state: PlanState
    taskId: UUID | None  # noqa: N815
    attempt: int | None
    flinkJobId: str | None  # noqa: N815
    flinkURL: str | None  # noqa: N815
    """Flink's own page of the job."""
    jarURL: str | None  # noqa: N815
    jarSHA256: str | None  # noqa: N815
    """The JAR this run was given; null before it was sent."""
    startedBy: str | None  # noqa: N815
    createdAt: datetime | None  # noqa: N815
    startedAt: datetime | None  # noqa: N815
    finishedAt: datetime | None  # noqa: N815
    error: str | None
    waiting: str | None
    """Why it does not move, in one sentence."""


class OperationBegun(AnswerModel):
    """An operation that was requested; `GET /operations/{id}` has its result."""

    operation_id: UUID


PinAnswer: Final = from_record("Pin", Pin)
SavepointAnswer: Final = from_record("FlinkSavepoint", FlinkSavepoint)
ExecutionPage: Final = page_of(Execution)
PinPage: Final = page_of(PinAnswer)
SavepointPage: Final = page_of(SavepointAnswer)
_JAR: Final = "http://data-processor:8080/data-processor.jar"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_JOB_ID: Final = "9b81c27721d136ed3f4c3a0e03012ac1"


def examples() -> dict[str, Any]:
    """For each operation id its `request` and `response`."""
    rule = {"jobId": "nightly", "scheduleId": "nightly-schedule", "cron": "0 * * * * *", "zone": "UTC", "next": [LATER]}
    run: dict[str, Any] = {
        "id": PLAN, "jobId": "nightly", "jobVersion": 2, "status": "SUCCEEDED", "state": "SUCCEEDED", "taskId": TASK,
        "attempt": 1, "flinkJobId": _JOB_ID, "flinkURL": f"http://flink-jobmanager:8081/#/job/completed/{_JOB_ID}",
        "jarURL": _JAR, "jarSHA256": _SHA256, "startedBy": "user:ann", "createdAt": NOW, "startedAt": NOW,
        "finishedAt": LATER, "error": None, "waiting": None,
    }  # fmt: skip
    pin = Pin(url=_JAR, sha256=_SHA256, bytes=1234, pinned_at=NOW)
    savepoint = FlinkSavepoint(
        path="file:///savepoints/savepoint-9b81c2-1", run_key=f"sb-{TASK}-1", job_id=_JOB_ID, engine="flink",
        stopped=True, taken_at=LATER,
    )  # fmt: skip
    begun = {"operation_id": OPERATION}
    return {
        "job_schedule": {"request": {"cron": "0 * * * * *"}, "response": rule},
        "job_executions": {"response": {"items": [run], "next_cursor": None}},
        "job_pins": {"response": {"items": [pin.model_dump(mode="json")], "next_cursor": None}},
        "job_artifact": {"request": {"reason": "a fixed build"}, "response": begun},
        "job_savepoints": {"response": {"items": [savepoint.model_dump(mode="json")], "next_cursor": None}},
        "job_savepoint": {"request": {"stop": True, "reason": "before the upgrade"}, "response": begun},
    }
