"""The states of a plan and of a task, and every move between them.

These two tables are the only place where a move is allowed: services, tests, documents and the console read them.
"""

from collections.abc import Mapping
from typing import Final

from signalbox_contracts.vocabulary import OpenEnum


class PlanState(OpenEnum):
    """What we have recorded about a plan."""

    ACCEPTED = "ACCEPTED"
    RESOLVING = "RESOLVING"
    PREVIEWED = "PREVIEWED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUSED = "REFUSED"
    OTHER = "OTHER"


class TaskState(OpenEnum):
    """What we have recorded about a task."""

    QUEUED = "QUEUED"
    CLAIMED = "CLAIMED"
    SUBMITTING = "SUBMITTING"
    RUNNING = "RUNNING"
    UNKNOWN = "UNKNOWN"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    OTHER = "OTHER"


class StepState(OpenEnum):
    """What we have recorded about a step of a pipeline."""

    WAITING = "WAITING"
    READY = "READY"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    REUSED = "REUSED"
    OTHER = "OTHER"


_P = PlanState
_T = TaskState

PLAN_ENDS: Final = frozenset({_P.SUCCEEDED, _P.COMPLETED_WITH_ERRORS, _P.FAILED, _P.CANCELLED, _P.REFUSED})
"""A plan in one of these never moves again."""

TASK_ENDS: Final = frozenset({_T.SUCCEEDED, _T.FAILED, _T.CANCELLED})
"""A task in one of these never moves again."""

STEP_ENDS: Final = frozenset(
    {StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED, StepState.REUSED}
)
"""A step in one of these is decided."""

TASKS_HOLDING_A_SLOT: Final = frozenset({_T.CLAIMED, _T.SUBMITTING, _T.RUNNING, _T.UNKNOWN})
"""These count against every limit: each may have work on the engine."""

PLAN_TRANSITIONS: Final[Mapping[PlanState, frozenset[PlanState]]] = {
    # a request without preview runs at once; one that cannot be is refused
    _P.ACCEPTED: frozenset({_P.RESOLVING, _P.RUNNING, _P.REFUSED, _P.CANCELLED}),
    # resolved for the first time: previewed; resolved again on apply: started, refused or waiting for approval
    _P.RESOLVING: frozenset({_P.PREVIEWED, _P.AWAITING_APPROVAL, _P.RUNNING, _P.REFUSED, _P.CANCELLED}),
    # apply resolves again; a preview that expired is refused
    _P.PREVIEWED: frozenset({_P.RESOLVING, _P.AWAITING_APPROVAL, _P.RUNNING, _P.REFUSED, _P.CANCELLED}),
    # approved: resolved once more or started; rejected or expired: refused
    _P.AWAITING_APPROVAL: frozenset({_P.RESOLVING, _P.RUNNING, _P.REFUSED, _P.CANCELLED}),
    # cancelled without a cancel of the plan: its tasks were cancelled one by one, or stopped with a savepoint
    _P.RUNNING: frozenset({_P.PAUSED, _P.CANCELLING, _P.SUCCEEDED, _P.COMPLETED_WITH_ERRORS, _P.FAILED, _P.CANCELLED}),
    # what already ran may end while the plan is paused
    _P.PAUSED: frozenset({_P.RUNNING, _P.CANCELLING, _P.SUCCEEDED, _P.COMPLETED_WITH_ERRORS, _P.FAILED, _P.CANCELLED}),
    # everything may have ended before the cancel arrived
    _P.CANCELLING: frozenset({_P.CANCELLED, _P.SUCCEEDED, _P.COMPLETED_WITH_ERRORS, _P.FAILED}),
    **{end: frozenset[PlanState]() for end in PLAN_ENDS},
}

TASK_TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    # cancelled or timed out before anything was sent
    _T.QUEUED: frozenset({_T.CLAIMED, _T.CANCELLED, _T.FAILED}),
    # nothing was sent yet, so a claim may be given back
    _T.CLAIMED: frozenset({_T.SUBMITTING, _T.QUEUED, _T.CANCELLED, _T.FAILED}),
    # an adopted run may be seen terminal at once; a refusal or a sealed key queues the next attempt
    _T.SUBMITTING: frozenset({_T.RUNNING, _T.UNKNOWN, _T.QUEUED, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED}),
    _T.RUNNING: frozenset({_T.UNKNOWN, _T.QUEUED, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED}),
    # seen again, or decided by policy or a person
    _T.UNKNOWN: frozenset({_T.RUNNING, _T.QUEUED, _T.SUCCEEDED, _T.FAILED, _T.CANCELLED}),
    **{end: frozenset[TaskState]() for end in TASK_ENDS},
}
