"""What a Flink job's state means for its run. Pure.

Flink 1.20.3 and 2.3.0: `org.apache.flink.api.common.JobStatus`. SUSPENDED is terminal for one JobManager only: with
high availability another one recovers the job, so it is never the end of a run.
"""

from collections.abc import Mapping
from typing import Final

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.flink.answers import Failure, JobEntry
from signalbox_executor.engines.flink.refusals import root_cause

PHASES: Final[Mapping[str, Phase]] = {
    "INITIALIZING": Phase.SUBMITTED,
    "CREATED": Phase.SUBMITTED,
    "RUNNING": Phase.RUNNING,
    "RESTARTING": Phase.RUNNING,
    "RECONCILING": Phase.RUNNING,
    "FAILING": Phase.RUNNING,
    "CANCELLING": Phase.RUNNING,
    "SUSPENDED": Phase.RUNNING,
    "FINISHED": Phase.SUCCEEDED,
    "CANCELED": Phase.KILLED,
    "FAILED": Phase.FAILED,
}
CAUSES: Final[Mapping[Phase, EndCause]] = {
    Phase.SUCCEEDED: EndCause.COMPLETED,
    Phase.KILLED: EndCause.KILLED,
    Phase.FAILED: EndCause.FAILED,
}
_INFRASTRUCTURE: Final = (
    "NoResourceAvailableException", "TaskManagerException", "RemoteTransportException", "TaskExecutorException",
    "LocalTransportException",
)  # fmt: skip
_LOST_TASK_MANAGER: Final = ("heartbeat of TaskManager", "TaskExecutor", "TaskManager with id")


def phase_of(entry: JobEntry) -> Phase:
    """The phase of a job; `OTHER` for a state this version of Signalbox does not know."""
    phase = PHASES.get(entry.state, Phase.OTHER)
    # Flink says RUNNING of a job from its acceptance on, before any of its tasks does
    return Phase.SUBMITTED if entry.state == "RUNNING" and not _any_task_runs(entry) else phase


def waits_for_slots(entry: JobEntry) -> bool:
    """Whether Flink says RUNNING of a job of which no task has a slot."""
    tasks = entry.tasks
    return entry.state == "RUNNING" and tasks.total > 0 and tasks.scheduled + tasks.created == tasks.total


def _any_task_runs(entry: JobEntry) -> bool:
    return entry.tasks.total == 0 or entry.tasks.running + entry.tasks.finished > 0


def failure_cause(failure: Failure | None) -> EndCause:
    """Who is to blame: the cluster, where it had no slots or lost a TaskManager; else the job."""
    if failure is None:
        return EndCause.FAILED
    name, first = failure.exception_name.rpartition(".")[2], failure.stacktrace[:4000]
    if name in _INFRASTRUCTURE or "NoResourceAvailableException" in first:
        return EndCause.INFRASTRUCTURE
    lost = any(words in first for words in _LOST_TASK_MANAGER) and "timed out" in first
    return EndCause.INFRASTRUCTURE if lost else EndCause.FAILED


def failure_reason(failure: Failure | None) -> str:
    """Why a job failed, in one line: the root of its last exception and where it was thrown."""
    if failure is None:
        return "the job failed; Flink keeps no exception of it"
    where = f" in {failure.task_name[:200]}" if failure.task_name else ""
    return f"{root_cause(failure.stacktrace)}{where}"
