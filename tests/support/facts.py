"""What was said of tasks on `tasks.v1`, put together again, and what must be true of it."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from signalbox_contracts.messages.tasks import TaskRecord, TasksStated
from signalbox_contracts.states import TASK_ENDS, TASK_TRANSITIONS, TaskState


def histories(facts: Sequence[TasksStated]) -> dict[UUID, list[TaskRecord]]:
    """What was said of each task, by version; the same version twice is the same fact."""
    history: defaultdict[UUID, dict[int, TaskRecord]] = defaultdict(dict)
    for fact in facts:
        for task in fact.data.tasks:
            if task.transitions or task.version not in history[task.task_id]:
                history[task.task_id][task.version] = task
    return {id: [versions[version] for version in sorted(versions)] for id, versions in history.items()}


def check_history(history: list[TaskRecord], *, ended: bool = True) -> None:
    """Assert that the moves said are the moves made: allowed, none missing, and one end (none, unless `ended`)."""
    moves = {move.version: move.state for task in history for move in task.transitions}
    states = [moves[version] for version in sorted(moves)]
    assert states[0] is TaskState.QUEUED
    assert all(after in TASK_TRANSITIONS[before] for before, after in pairwise(states)), states
    versions = sorted({*moves, *(task.version for task in history)})
    assert versions == list(range(1, len(versions) + 1)), "every version was said, or is among the moves of a later one"
    assert [task.version for task in history if task.state in TASK_ENDS] == versions[-1:] * ended
