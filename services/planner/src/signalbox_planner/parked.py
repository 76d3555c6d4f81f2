"""A plan whose messages some service parked: a person ends it, and what can be read of them counts. Pure.

A task whose command lies parked at the executor does not exist there: sent again it would be parked again. It waits for
a person, who feeds the command again or cancels. A fact that lies parked here still says in which state its tasks are.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_contracts.states import TaskState
from signalbox_contracts.vocabulary import MAX_COUNT
from signalbox_planner import lifecycle
from signalbox_planner.effects import EndItems
from signalbox_planner.graph import is_compensation
from signalbox_planner.lifecycle import with_effect
from signalbox_planner.plan import Item, Plan, StateChange
from signalbox_planner.store.items import TaskFact

_STATES: Final = frozenset(state.value for state in TaskState) - {TaskState.OTHER.value}


def end_stopped(plan: Plan, lost: Sequence[Item], error: str, now: datetime) -> Plan:
    """The plan without those of these items that are cancelled: the executor never had their tasks."""
    ended = [item for item in lost if item.state is None and _is_stopped(plan, item)]
    if not ended:
        return plan
    reason = f"cancelled; the executor could not take its command: {error}"[:2000]
    for first, end in _ranges([item.position for item in ended]):
        plan = with_effect(plan, EndItems(first, end, TaskState.CANCELLED.value, reason))
    dispatch = plan.dispatch
    plan = replace(
        plan,
        dispatch=replace(dispatch, tasks=dispatch.tasks - len(ended), live_tasks=dispatch.live_tasks - len(ended)),
    )
    steps = Counter(item.step for item in ended)
    return lifecycle.count(plan, [StateChange(None, TaskState.CANCELLED, n, 0, step) for step, n in steps.items()], now)


def states_in(value: bytes | None, plan_id: UUID) -> list[TaskFact]:
    """The states of tasks in a fact that could not be applied, without their results. None where it is no fact."""
    try:
        tasks: Any = json.loads(value or b"")["data"]["tasks"]
        return [
            TaskFact(plan_id, str(task["item_key"]), task["version"], task["state"])
            for task in tasks
            if task["state"] in _STATES and type(task["version"]) is int and 0 <= task["version"] <= MAX_COUNT
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def _is_stopped(plan: Plan, item: Item) -> bool:
    if item.stopping is not None:
        return True
    stop = plan.stop
    if stop is None:
        return False
    return stop.compensations or plan.progress is None or not is_compensation(plan.progress, item.step)


def _ranges(positions: Sequence[int]) -> list[tuple[int, int]]:
    """These positions, which are in order, as [first, end)."""
    found: list[tuple[int, int]] = []
    for position in positions:
        if found and found[-1][1] == position:
            found[-1] = (found[-1][0], position + 1)
        else:
            found.append((position, position + 1))
    return found
