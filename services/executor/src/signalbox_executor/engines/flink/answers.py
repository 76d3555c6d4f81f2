"""What a JobManager answers, as values: bounded, and with the fields that are used."""

import logging
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import Field, JsonValue, ValidationError

from signalbox_contracts.vocabulary import Count, Value

log = logging.getLogger(__name__)
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Word = Annotated[str, Field(max_length=64)]
Millis = Annotated[int, Field(ge=-1, lt=10**14)]
MAX_JAR_ID: Final = 512


class Tasks(Value):
    """How many tasks of a job are in which state."""

    total: Count = 0
    created: Count = 0
    scheduled: Count = 0
    running: Count = 0
    finished: Count = 0


class JobEntry(Value):
    """One job of the overview. A time of -1 has not come yet."""

    jid: JobId
    name: Annotated[str, Field(max_length=100_000)] = ""
    state: Word
    start_time: Annotated[Millis, Field(alias="start-time")] = -1
    end_time: Annotated[Millis, Field(alias="end-time")] = -1
    tasks: Tasks = Tasks()


class Overview(Value):
    """Every job the JobManager knows, the ended ones of the last hour too."""

    jobs: tuple[JsonValue, ...]

    def entries(self) -> dict[str, JobEntry]:
        """The jobs by id. One that cannot be read does not hide the others."""
        entries: dict[str, JobEntry] = {}
        for job in self.jobs:
            try:
                entry = JobEntry.model_validate(job)
            except ValidationError as error:
                log.warning("a job of the overview cannot be read: %s", error.errors()[:1])
                continue
            entries[entry.jid] = entry
        return entries


class ClusterOverview(Value):
    """The cluster's slots and version."""

    taskmanagers: Count = 0
    slots_total: Annotated[Count, Field(alias="slots-total")] = 0
    slots_available: Annotated[Count, Field(alias="slots-available")] = 0
    flink_version: Annotated[Word, Field(alias="flink-version")] = ""


class Setting(Value):
    """One line of the JobManager's configuration."""

    key: str
    value: str = ""


class Vertex(Value):
    """One operator chain of a job."""

    id: JobId
    name: Annotated[str, Field(max_length=100_000)] = ""
    status: Word = ""


class JobDetails(Value):
    """One job, as far as it is used."""

    jid: JobId
    state: Word
    vertices: tuple[Vertex, ...] = ()


class VertexMetrics(Value):
    read_records: Annotated[Count, Field(alias="read-records")] = 0
    write_records: Annotated[Count, Field(alias="write-records")] = 0
    read_bytes: Annotated[Count, Field(alias="read-bytes")] = 0
    write_bytes: Annotated[Count, Field(alias="write-bytes")] = 0
    backpressured_millis: Annotated[float, Field(alias="accumulated-backpressured-time", allow_inf_nan=True)] = 0.0


class VertexProgress(Value):
    name: str = ""
    duration: Annotated[int, Field(ge=-1)] = -1
    parallelism: Annotated[int, Field(ge=0, lt=2**53)] = 1
    metrics: VertexMetrics = VertexMetrics()


class JobProgress(Value):
    """A job's operators, from its sources to its sinks."""

    vertices: tuple[VertexProgress, ...] = ()


class CheckpointCounts(Value):
    completed: Count = 0
    failed: Count = 0
    restored: Count = 0


class Checkpoints(Value):
    counts: CheckpointCounts = CheckpointCounts()


class LogFile(Value):
    """A log file of one process."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    size: Count = 0


class LogFiles(Value):
    logs: tuple[LogFile, ...] = ()


class TaskManager(Value):
    id: Annotated[str, Field(min_length=1, max_length=512)]


class TaskManagers(Value):
    taskmanagers: tuple[TaskManager, ...] = ()


class Jar(Value):
    """An uploaded JAR. `uploaded` is in milliseconds since 1970."""

    id: Annotated[str, Field(min_length=1, max_length=MAX_JAR_ID)]
    name: Annotated[str, Field(max_length=MAX_JAR_ID)]
    uploaded: Millis = -1


class Jars(Value):
    files: tuple[Jar, ...] = ()


class Uploaded(Value):
    """The path of the uploaded file on the JobManager's host; its last part is the JAR's id."""

    filename: Annotated[str, Field(min_length=1, max_length=4096)]

    @property
    def jar_id(self) -> str:
        return self.filename.replace("\\", "/").rpartition("/")[2]


class Started(Value):
    """The answer to an accepted run."""

    jobid: JobId


class Errors(Value):
    """The answer to a refused call: texts with stack traces."""

    errors: tuple[str, ...] = ()


class Failure(Value):
    """One entry of a job's exception history."""

    exception_name: Annotated[str, Field(alias="exceptionName")] = ""
    stacktrace: str = ""
    timestamp: Millis = -1
    task_name: Annotated[str | None, Field(alias="taskName")] = None
    task_manager_id: Annotated[str | None, Field(alias="taskManagerId")] = None


class FailureHistory(Value):
    entries: tuple[Failure, ...] = ()


class Exceptions(Value):
    """Why a job failed or restarted, the newest first. `root_exception` is there on 1.20 alone."""

    history: Annotated[FailureHistory, Field(alias="exceptionHistory")] = FailureHistory()
    root_exception: Annotated[str | None, Field(alias="root-exception")] = None


class Triggered(Value):
    request_id: Annotated[JobId, Field(alias="request-id")]


class TriggerState(Value):
    id: Word


class TriggerFailure(Value):
    """Why a savepoint could not be taken."""

    exception_class: Annotated[str, Field(alias="class")] = ""
    stack_trace: Annotated[str, Field(alias="stack-trace")] = ""


class TriggerOperation(Value):
    location: str | None = None
    failure: Annotated[TriggerFailure | None, Field(alias="failure-cause")] = None


class SavepointStatus(Value):
    """How far a savepoint is. COMPLETED covers failure too: only `location` is success."""

    status: TriggerState
    operation: TriggerOperation | None = None


def instant(millis: int) -> datetime | None:
    """A time of Flink's; None for one that has not come."""
    return None if millis <= 0 else datetime.fromtimestamp(millis / 1000, UTC)
