"""Lists of states in SQL: in the order of their class, and made of the contracts' sets."""

import re
from pathlib import Path
from typing import Final

from signalbox_chassis.persistence.state_list import state_list
from signalbox_contracts.states import PLAN_ENDS, STEP_ENDS, TASK_ENDS, TASKS_HOLDING_A_SLOT, PlanState, TaskState

SERVICES: Final = Path(__file__).parents[3] / "services"


def test_a_list_is_in_the_order_of_its_class() -> None:
    assert state_list({TaskState.RUNNING, TaskState.QUEUED}) == "('QUEUED', 'RUNNING')"
    assert state_list(frozenset({PlanState.REFUSED})) == "('REFUSED')"


def test_no_statement_writes_a_set_of_the_contracts_by_hand() -> None:
    """A state that is added to a set of the contracts is then in every statement that means the set."""
    sets = [PLAN_ENDS, STEP_ENDS, TASK_ENDS, TASKS_HOLDING_A_SLOT, {TaskState.QUEUED, *TASKS_HOLDING_A_SLOT}]
    named = [{state.value for state in states} for states in sets]
    found = [
        (path.name, text)
        for path in SERVICES.glob("*/src/**/*.py")
        if "migrations" not in path.parts
        for text in re.findall(r"IN \(('[A-Z_]+'(?:,\s*'[A-Z_]+')*)\)", path.read_text())
        if set(re.findall(r"[A-Z_]+", text)) in named
    ]
    assert found == []
