"""What the pods of a Job say: exit codes, results, and why a pod does not start. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import Field, ValidationError

from signalbox_contracts.vocabulary import Value
from signalbox_executor.engines.kubernetes.manifest import CONTAINER

INDEX_LABEL: Final = "batch.kubernetes.io/job-completion-index"
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
MAX_MESSAGE_BYTES: Final = 4096
"""The kubelet keeps the last 4,096 bytes of a termination message."""
_STARTING: Final = frozenset({"ContainerCreating", "PodInitializing"})


class _Metadata(Value):
    name: str
    uid: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    created_at: datetime | None = Field(default=None, alias="creationTimestamp")


class _Waiting(Value):
    reason: str = ""
    message: str = ""


class _Terminated(Value):
    exit_code: int = Field(alias="exitCode")
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = Field(default=None, alias="finishedAt")


class _State(Value):
    waiting: _Waiting | None = None
    running: dict[str, Any] | None = None
    terminated: _Terminated | None = None


class _Container(Value):
    name: str
    state: _State = _State()


class _Condition(Value):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Status(Value):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[_Condition, ...] = ()
    containers: tuple[_Container, ...] = Field(default=(), alias="containerStatuses")
    init_containers: tuple[_Container, ...] = Field(default=(), alias="initContainerStatuses")


class _Pod(Value):
    metadata: _Metadata
    status: _Status = _Status()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What is kept of a pod."""

    name: str
    uid: str
    completion: int
    """Its completion index; 0 in a Job that is not indexed."""
    created_at: datetime | None
    phase: str
    containers: tuple[str, ...]
    """Names of the containers that ran or run, for their logs."""
    exit_code: int | None
    reason: str
    """Why it ended, or why it does not start, in the words of Kubernetes; empty while it runs."""
    message: str
    result: str
    """The termination message of the work's container."""

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def read_pod(document: Mapping[str, Any]) -> Pod | None:
    """None for what cannot be read: one such pod hides no other."""
    try:
        pod = _Pod.model_validate(document)
    except ValidationError:
        return None
    index = pod.metadata.labels.get(INDEX_LABEL) or pod.metadata.annotations.get(INDEX_LABEL) or "0"
    status = pod.status
    main = next((one for one in status.containers if one.name == CONTAINER), None)
    ended = main.state.terminated if main else None
    reason, message = _reason(status, ended)
    return Pod(
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        completion=int(index) if index.isdigit() else 0,
        created_at=pod.metadata.created_at,
        phase=status.phase,
        containers=tuple(_started(status)),
        exit_code=ended.exit_code if ended else None,
        reason=reason[:200],
        message=message[:1000],
        result=ended.message if ended else "",
    )


def _started(status: _Status) -> Iterable[str]:
    for one in (*status.init_containers, *status.containers):
        if one.state.running is not None or one.state.terminated is not None:
            yield one.name


def _reason(status: _Status, ended: _Terminated | None) -> tuple[str, str]:
    """Reason and message of an end or of a wait. A running pod has none."""
    if status.phase in ("Succeeded", "Failed"):
        if status.reason:  # Evicted, DeadlineExceeded, NodeLost
            return status.reason, status.message
        return (ended.reason if ended else ""), ""
    for one in status.conditions:
        if one.type == "PodScheduled" and one.status == "False":
            return one.reason or "Unschedulable", one.message
    for one in (*status.init_containers, *status.containers):
        waiting = one.state.waiting
        if waiting is not None and waiting.reason and waiting.reason not in _STARTING:
            return waiting.reason, waiting.message
    return "", ""


def newest_by_completion(pods: Iterable[Pod]) -> dict[int, Pod]:
    """The pod that decides for each completion: one that succeeded, else the newest that ended, else the newest."""
    decided: dict[int, Pod] = {}
    for pod in pods:
        other = decided.get(pod.completion)
        if other is None or _rank(pod) > _rank(other):
            decided[pod.completion] = pod
    return decided


def _rank(pod: Pod) -> tuple[bool, bool, float]:
    return pod.phase == "Succeeded", pod.ended, pod.created_at.timestamp() if pod.created_at else 0.0


def why_waiting(pods: Iterable[Pod]) -> str:
    """Why the first pod that does not start waits; empty if none is stuck."""
    stuck = [pod for pod in pods if pod.phase == "Pending" and pod.reason]
    if not stuck:
        return ""
    first = min(stuck, key=lambda pod: pod.completion)
    more = f" ({len(stuck)} pods wait)" if len(stuck) > 1 else ""
    return f"{first.reason}: {first.message or 'no message'}{more}" if first.message else f"{first.reason}{more}"
