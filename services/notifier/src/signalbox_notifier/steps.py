"""What the parts of a run did since its last progress report, such as the tasks of an Airflow DAG. Pure.

A report shows each part as it is now. A part that began and ended between two reports gives both events.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from signalbox_contracts.definitions.channel import Severity
from signalbox_contracts.messages.tasks import Phase, StepProgress, TaskProgressData
from signalbox_contracts.states import TaskState
from signalbox_notifier.notices import Notice, PlanSummary

MAX_KNOWN_STEPS: Final = 1000
STARTED: Final = 1
ENDED: Final = 2
Known = Mapping[str, tuple[int, int]]
"""By the name of a part: its newest try, and `STARTED` or `ENDED`."""
NOTHING_KNOWN: Final[Known] = {}
_STAGES: Final[Mapping[Phase, int]] = {Phase.RUNNING: STARTED, Phase.SUCCEEDED: ENDED, Phase.FAILED: ENDED}


@dataclass(frozen=True, slots=True)
class StepChange:
    """One try of one part began or ended."""

    step: str
    attempt: int
    state: TaskState
    at: datetime
    word: str
    """The engine's own state."""


def step_changes(data: TaskProgressData, known: Known) -> tuple[list[StepChange], Known]:
    """What is new in a report, in the order of its instants, and what is known after it."""
    after = dict(known)
    changes: list[StepChange] = []
    for step in data.steps:
        stage = _STAGES.get(step.phase) if step.phase is not None else None
        if stage is None:
            continue
        attempt = step.attempt or 1
        before_attempt, before_stage = known.get(step.name, (0, 0))
        if (attempt, stage) <= (before_attempt, before_stage):
            continue
        if attempt > before_attempt:
            if before_stage == STARTED:  # its end came between two reports: only a failure has another try
                at = step.started_at or data.at
                changes.append(StepChange(step.name, before_attempt, TaskState.FAILED, at, "failed"))
            changes.append(StepChange(step.name, attempt, TaskState.RUNNING, step.started_at or data.at, step.state))
        if stage == ENDED:
            changes.append(_end(step, attempt, data.at))
        if step.name in after or len(after) < MAX_KNOWN_STEPS:
            after[step.name] = attempt, stage
    return sorted(changes, key=lambda change: change.at), after


def _end(step: StepProgress, attempt: int, now: datetime) -> StepChange:
    state = TaskState.SUCCEEDED if step.phase is Phase.SUCCEEDED else TaskState.FAILED
    return StepChange(step.name, attempt, state, step.ended_at or now, step.state)


_NOTICES: Final[Mapping[TaskState, tuple[str, Severity, str]]] = {
    TaskState.RUNNING: ("task.started", "info", "started"),
    TaskState.SUCCEEDED: ("task.completed", "info", "completed"),
    TaskState.FAILED: ("task.failed", "error", "failed"),
}


def step_notices(changes: Sequence[StepChange], data: TaskProgressData, plan: PlanSummary) -> Iterator[Notice]:
    """These changes in the words of subscriptions."""
    for change in changes:
        kind, severity, word = _NOTICES[change.state]
        text = f"{change.step} {change.word} on try {change.attempt}" if change.state is TaskState.FAILED else ""
        yield Notice(
            event_id=f"step:{data.task_id}:{data.attempt}:{change.step}:{change.attempt}:{word}", type=kind,
            severity=severity, title=f"{plan.name or plan.plan_id} / {change.step}: {word}"[:200], text=text,
            at=change.at, plan=plan,
            details={
                "task_id": str(data.task_id), "step": change.step, "attempt": change.attempt, "state": change.word,
            },
        )  # fmt: skip
