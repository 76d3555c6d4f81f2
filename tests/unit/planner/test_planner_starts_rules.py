"""Whether a plan of a schedule or trigger may start beside its earlier ones."""

import uuid

import pytest

from signalbox_planner.starts import MAX_QUEUED, Refuse, StartNow, WaitForPrevious, decide_overlap

A, B = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.mark.parametrize("policy", ["allow", "skip", "queue", "cancel_previous"])
def test_a_plan_without_an_earlier_one_starts_under_every_policy(policy: str) -> None:
    assert decide_overlap(policy, (), 0) == StartNow()  # pyright: ignore[reportArgumentType]


def test_beside_a_running_plan_each_policy_decides_its_own_way() -> None:
    assert decide_overlap("allow", (A, B), 1) == StartNow()
    assert decide_overlap("skip", (A, B), 0) == Refuse(
        f"overlap policy skip: plan {A} of the same source has not ended"
    )
    assert decide_overlap("queue", (A, B), 0) == WaitForPrevious(A)
    assert decide_overlap("cancel_previous", (A, B), 0) == WaitForPrevious(A, (A, B))


def test_as_many_plans_of_a_queue_run_at_once_as_are_allowed_and_none_overtakes_a_waiting_one() -> None:
    assert decide_overlap("queue", (A,), 0, concurrency=2) == StartNow()
    assert decide_overlap("queue", (A, B), 0, concurrency=2) == WaitForPrevious(A)
    assert decide_overlap("queue", (A,), 1, concurrency=2) == WaitForPrevious(A)
    assert isinstance(decide_overlap("skip", (A,), 0, concurrency=2), Refuse)


def test_a_full_queue_refuses_the_next_plan() -> None:
    assert isinstance(decide_overlap("queue", (A,), MAX_QUEUED - 1), WaitForPrevious)
    assert isinstance(decide_overlap("queue", (A,), MAX_QUEUED), Refuse)
