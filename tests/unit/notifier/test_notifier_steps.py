"""Progress reports become the task events of the parts of a run: each try begins once and ends once."""

import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from signalbox_contracts.messages.tasks import Phase, StepProgress, TaskProgressData
from signalbox_notifier.notices import PlanSummary
from signalbox_notifier.steps import Known, step_changes, step_notices

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLAN = PlanSummary(uuid.UUID(int=1), "Nightly", "default", "job:nightly")


def step(name: str, phase: Phase | None, attempt: int | None = 1, *, at: int = 0) -> StepProgress:
    began = NOW + timedelta(seconds=at)
    ended = began + timedelta(seconds=5) if phase in (Phase.SUCCEEDED, Phase.FAILED) else None
    word = phase.value if phase else "scheduled"
    return StepProgress(name=name, state=word, phase=phase, attempt=attempt, started_at=began, ended_at=ended)


def report(*steps: StepProgress, sequence: int = 1) -> TaskProgressData:
    return TaskProgressData(
        plan_id=PLAN.plan_id, task_id=uuid.UUID(int=2), attempt=1, sequence=sequence, at=NOW, steps=steps
    )


def seen(*reports: TaskProgressData) -> list[str]:
    """The events of these reports, one after the other."""
    known: Known = {}
    found: list[str] = []
    for one in reports:
        changes, known = step_changes(one, known)
        notices = step_notices(changes, one, PLAN)
        found += [f"{notice.type} {notice.details['step']} {notice.details['attempt']}" for notice in notices]
    return found


def test_a_part_that_began_and_ended_between_two_reports_gives_both_events_in_the_order_of_their_instants() -> None:
    first = report(step("load", None, None), step("extract", Phase.SUCCEEDED))
    second = report(step("load", Phase.RUNNING, at=9), step("extract", Phase.SUCCEEDED))
    third = report(step("load", Phase.SUCCEEDED, at=9), step("extract", Phase.SUCCEEDED))
    assert seen(first, second, second, third, third) == [
        "task.started extract 1", "task.completed extract 1", "task.started load 1", "task.completed load 1",
    ]  # fmt: skip


def test_a_try_whose_failure_came_between_two_reports_has_failed() -> None:
    assert seen(report(step("load", Phase.RUNNING)), report(step("load", Phase.SUCCEEDED, 2, at=60))) == [
        "task.started load 1", "task.failed load 1", "task.started load 2", "task.completed load 2",
    ]  # fmt: skip


def test_what_ran_before_this_attempt_is_no_news() -> None:
    """Without it a retry by clearing would tell of every task that it did not run."""
    assert seen(report(step("extract", None, 1), step("load", Phase.FAILED, 2))) == [
        "task.started load 2", "task.failed load 2",
    ]  # fmt: skip


def test_a_failure_says_which_try_and_the_engines_own_word() -> None:
    (_, failed) = step_notices(step_changes(report(step("load", Phase.FAILED, 2)), {})[0], report(), PLAN)
    assert (failed.title, failed.text, failed.severity) == ("Nightly / load: failed", "load failed on try 2", "error")
    assert failed.event_id == f"step:{uuid.UUID(int=2)}:1:load:2:failed"


_PHASES = st.sampled_from([None, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED])


@given(st.lists(st.tuples(st.sampled_from("ab"), _PHASES, st.integers(1, 3)), max_size=12))
def test_no_order_of_reports_reports_a_thing_twice_or_ends_what_did_not_begin(
    reports: list[tuple[str, Phase | None, int]],
) -> None:
    events = seen(*(report(step(name, phase, attempt)) for name, phase, attempt in reports))
    assert len(events) == len(set(events))
    for name in "ab":
        of_one = [event.split() for event in events if event.split()[1] == name]
        assert [kind for kind, _, _ in of_one[::2]] == ["task.started"] * len(of_one[::2])
        assert all(before[2] <= after[2] for before, after in pairwise(of_one))
