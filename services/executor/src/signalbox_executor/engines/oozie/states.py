"""What Oozie's states mean, pure. Terminal is always terminal for one run: a rerun opens a job again."""

from typing import Final

from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.oozie.answers import NodeAnswer, WorkflowAnswer

WORKFLOW_ENDS: Final = frozenset({"SUCCEEDED", "FAILED", "KILLED"})
"""Only a workflow in one of these can be rerun."""
ACTION_ENDS: Final = frozenset({"SUCCEEDED", "FAILED", "KILLED", "TIMEDOUT", "SKIPPED", "IGNORED"})
"""Only a coordinator action in one of these can be rerun."""
ACTION_FAILURES: Final = frozenset({"FAILED", "KILLED", "TIMEDOUT"})
CLOSED_TO_RERUN: Final = frozenset({"PREP", "PREMATER", "IGNORED"})
"""A coordinator in one of these refuses reruns of its actions (E1018)."""

_WORKFLOW: Final = {
    "PREP": Phase.SUBMITTED,
    "RUNNING": Phase.RUNNING,
    "SUSPENDED": Phase.SUSPENDED,
    "SUCCEEDED": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "KILLED": Phase.KILLED,
}
_ACTION: Final = {
    "WAITING": Phase.SUBMITTED,
    "READY": Phase.SUBMITTED,
    "SUBMITTED": Phase.SUBMITTED,
    "RUNNING": Phase.RUNNING,
    "SUSPENDED": Phase.SUSPENDED,
    "SUCCEEDED": Phase.SUCCEEDED,
    "SKIPPED": Phase.SUCCEEDED,
    "IGNORED": Phase.KILLED,
    "FAILED": Phase.FAILED,
    "TIMEDOUT": Phase.FAILED,
    "KILLED": Phase.KILLED,
}
_COORDINATOR: Final = {
    "PREP": Phase.SUBMITTED,
    "PREMATER": Phase.SUBMITTED,
    "RUNNING": Phase.RUNNING,
    "RUNNINGWITHERROR": Phase.RUNNING,
    "SUCCEEDED": Phase.SUCCEEDED,
    "DONEWITHERROR": Phase.FAILED,
    "FAILED": Phase.FAILED,
    "KILLED": Phase.KILLED,
    "IGNORED": Phase.KILLED,
}


def workflow_phase(status: str) -> Phase:
    return _WORKFLOW.get(status, Phase.OTHER)


def action_phase(status: str) -> Phase:
    """Of a coordinator action."""
    return _ACTION.get(status, Phase.OTHER)


def coordinator_phase(status: str) -> Phase:
    """Of a coordinator or a bundle; both have several words for suspended and paused."""
    if "SUSPENDED" in status or "PAUSED" in status:
        return Phase.SUSPENDED
    return _COORDINATOR.get(status, Phase.OTHER)


def never_started(workflow: WorkflowAnswer) -> bool:
    """A workflow killed while still PREP: nothing of it ever ran."""
    return workflow.status == "KILLED" and workflow.started_at is None


def kill_node(workflow: WorkflowAnswer) -> NodeAnswer | None:
    """The kill node this run ended at, if it failed by itself.

    A KILLED workflow that reached a kill node failed; without one somebody killed it. A rerun with `failnodes` keeps
    the kill node of the run before (seen on 5.2.1), so a row that ended before this run began does not count.
    """
    for node in workflow.actions:
        if node.type == ":KILL:" and not _of_an_earlier_run(node, workflow):
            return node
    return None


def _of_an_earlier_run(node: NodeAnswer, workflow: WorkflowAnswer) -> bool:
    began, ended = workflow.started_at, node.ended_at
    return began is not None and ended is not None and ended < began


def failed_nodes(workflow: WorkflowAnswer) -> list[NodeAnswer]:
    """The actions that failed, kill nodes aside, in the order of their names: Oozie's own order is of no use."""
    failed = [node for node in workflow.actions if node.status in ("ERROR", "FAILED", "START_MANUAL", "END_MANUAL")]
    return sorted(failed, key=lambda node: node.name)
