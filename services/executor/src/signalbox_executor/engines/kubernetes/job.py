"""What a Job object says, and what it means: the verdict comes from its conditions, never from its counters. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.kubernetes.manifest import CANCELLED, INDEXES, RELEASED, RUN_KEY, RUNS_AS, SEALED

MAX_INDEXES: Final = 10_000
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"


class _Metadata(Value):
    name: str
    uid: str
    resource_version: str = Field(default="", alias="resourceVersion")
    deletion_timestamp: datetime | None = Field(default=None, alias="deletionTimestamp")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class _Spec(Value):
    suspend: bool = False
    completions: int | None = None
    completion_mode: str = Field(default="NonIndexed", alias="completionMode")


class _Condition(Value):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = Field(default=None, alias="lastTransitionTime")


class _Status(Value):
    conditions: tuple[_Condition, ...] = ()
    start_time: datetime | None = Field(default=None, alias="startTime")
    completion_time: datetime | None = Field(default=None, alias="completionTime")
    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    completed_indexes: str = Field(default="", alias="completedIndexes")
    failed_indexes: str = Field(default="", alias="failedIndexes")


class _Job(Value):
    metadata: _Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is kept of a Job: a few hundred bytes, however large the object is."""

    name: str
    uid: str
    run_key: str
    runs_as: str
    """Not empty: no run, but what holds the run's key; the Job of this name is the run."""
    version: str
    phase: Phase
    sealed: bool
    cancelled: bool
    released: bool
    terminating: bool
    """Somebody deleted it, and it is not gone yet."""
    suspended: bool
    reason: str
    """The reason of the condition that decided, in the words of Kubernetes."""
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    completions: int
    indexed: bool
    indexes: tuple[int, ...]
    """What the completions stand for, when they are some of a larger Job's."""
    succeeded: int
    failed: int
    ready: int
    completed_indexes: str
    failed_indexes: str

    @property
    def ended(self) -> bool:
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.KILLED)

    def index(self, completion: int) -> int:
        """The index that a completion stands for."""
        return self.indexes[completion] if completion < len(self.indexes) else completion


def read_job(document: Mapping[str, Any]) -> Job:
    """Raises ValueError for an object that is no Job."""
    job = _Job.model_validate(document)
    annotations, status = job.metadata.annotations, job.status
    ends = {one.type: one for one in status.conditions if one.status == "True" and one.type in ("Complete", "Failed")}
    end = ends.get("Complete") or ends.get("Failed")
    cancelled = CANCELLED in annotations
    return Job(
        name=job.metadata.name,
        uid=job.metadata.uid,
        run_key=job.metadata.labels.get(RUN_KEY, ""),
        runs_as=annotations.get(RUNS_AS, ""),
        version=job.metadata.resource_version,
        phase=_phase(job, end, cancelled=cancelled),
        sealed=SEALED in annotations,
        cancelled=cancelled,
        released=RELEASED in annotations,
        terminating=job.metadata.deletion_timestamp is not None,
        suspended=job.spec.suspend,
        reason=end.reason if end else "",
        message=(end.message if end else "")[:1000],
        started_at=status.start_time,
        ended_at=status.completion_time or (end.last_transition_time if end else None),
        completions=job.spec.completions or 1,
        indexed=job.spec.completion_mode == "Indexed",
        indexes=tuple(parse_indexes(annotations.get(INDEXES, ""))),
        succeeded=status.succeeded,
        failed=status.failed,
        ready=status.ready,
        completed_indexes=status.completed_indexes,
        failed_indexes=status.failed_indexes,
    )


def cause(job: Job) -> EndCause | None:
    """Why it ended; None while it has not."""
    if job.phase is Phase.SUCCEEDED:
        return EndCause.COMPLETED
    if job.phase is Phase.KILLED:
        return EndCause.CANCELLED
    if job.phase is Phase.FAILED:
        return EndCause.TIMED_OUT if job.reason == DEADLINE_EXCEEDED else EndCause.FAILED
    return None


def parse_indexes(text: str) -> Iterator[int]:
    """The numbers of a text such as `1,3-5,7`; at most `MAX_INDEXES`. What is no number is passed over."""
    left = MAX_INDEXES
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdigit() and (last.isdigit() or not dash)):
            continue
        for index in range(int(first), min(int(last or first), int(first) + left) + 1):
            if left == 0:
                return
            left -= 1
            yield index


def _phase(job: _Job, end: _Condition | None, *, cancelled: bool) -> Phase:
    if end is not None and end.type == "Complete":
        return Phase.SUCCEEDED
    if end is not None:
        return Phase.KILLED if cancelled else Phase.FAILED
    if job.spec.suspend:
        return Phase.SUSPENDED if RELEASED in job.metadata.annotations else Phase.SUBMITTED
    status = job.status
    ran = status.ready or status.succeeded or status.failed or status.terminating
    return Phase.RUNNING if ran else Phase.SUBMITTED
