"""Whether a plan of a schedule or trigger may start beside its earlier ones."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.trigger import Trigger
from signalbox_contracts.event_matching import Match, match
from signalbox_contracts.messages.states import MatchOutcome
from signalbox_contracts.messages.ticks import ScheduleTickedData
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_planner import matching
from signalbox_planner.matching import Settled
from signalbox_planner.starts import (
    MAX_QUEUED,
    Refuse,
    StartNow,
    Target,
    WaitForPrevious,
    decide_overlap,
    tick_request,
    trigger_request,
)
from signalbox_planner.store import starts
from signalbox_planner.store.definitions import KnownTrigger
from signalbox_planner.store.starts import TriggerCount

A, B, C = (uuid.UUID(int=n) for n in (1, 2, 3))


@pytest.mark.parametrize("policy", ["allow", "skip", "queue", "cancel_previous"])
def test_a_plan_without_an_earlier_one_starts_under_every_policy(policy: str) -> None:
    assert decide_overlap(policy, (), ()) == StartNow()  # pyright: ignore[reportArgumentType]


def test_beside_a_running_plan_each_policy_decides_its_own_way() -> None:
    assert decide_overlap("allow", (A, B), (C,)) == StartNow()
    assert decide_overlap("skip", (A, B), ()) == Refuse(
        f"overlap policy skip: plan {A} of the same source has not ended"
    )
    assert decide_overlap("queue", (A, B), ()) == WaitForPrevious(A)
    assert decide_overlap("cancel_previous", (A, B), ()) == WaitForPrevious(A, (A, B))


def test_as_many_plans_of_a_queue_run_at_once_as_are_allowed_and_none_overtakes_a_waiting_one() -> None:
    assert decide_overlap("queue", (A,), (), concurrency=2) == StartNow()
    assert decide_overlap("queue", (A, B), (), concurrency=2) == WaitForPrevious(A)
    assert decide_overlap("queue", (A,), (B,), concurrency=2) == WaitForPrevious(B)
    assert isinstance(decide_overlap("skip", (A,), (), concurrency=2), Refuse)


def test_a_full_queue_refuses_the_next_plan() -> None:
    assert isinstance(decide_overlap("queue", (A,), (B,) * (MAX_QUEUED - 1)), WaitForPrevious)
    assert isinstance(decide_overlap("queue", (A,), (B,) * MAX_QUEUED), Refuse)


def test_a_plan_names_the_one_directly_before_it_although_none_runs_at_this_moment() -> None:
    """It named the plan 00000000-0000-0000-0000-000000000000."""
    assert decide_overlap("queue", (), (A, B)) == WaitForPrevious(B)
    assert decide_overlap("queue", (A,), (B,)) == WaitForPrevious(B)
    assert decide_overlap("cancel_previous", (), (A, B)) == WaitForPrevious(A, (A, B))
    assert decide_overlap("skip", (), (A, B)) == Refuse(
        f"overlap policy skip: plan {A} of the same source has not ended"
    )


def trigger(**changes: Any) -> Trigger:
    return Trigger.model_validate(
        {"id": "t", "name": "t", "target": {"kind": "job", "id": "j"}, "match": {}, **changes}
    )


def outside(**changes: Any) -> TriggerEvent:
    values: dict[str, Any] = {"id": "1", "source": "/s", "type": "t", "time": datetime(1, 1, 1, tzinfo=UTC), "data": {}}
    return TriggerEvent.model_validate({**values, **changes})


def test_an_event_of_the_first_day_of_the_calendar_is_judged_like_any_other() -> None:
    """Go writes 0001-01-01T00:00:00Z for no time. The event was parked, and no trigger saw it."""
    refused = match(trigger(), outside())
    assert refused is not None
    assert (refused.outcome, refused.why) == (
        MatchOutcome.REFUSED, "time: there is no day before 0001-01-01T00:00:00+00:00",
    )  # fmt: skip
    dated = match(trigger(event_date_from="/data/day"), outside(data={"day": "2026-03-01"}))
    assert dated is not None
    assert dated.outcome is MatchOutcome.MATCHED


def test_a_plan_has_all_fifty_labels_of_its_schedule_or_trigger_and_the_one_that_names_it() -> None:
    """One of the fifty was lost, and a label of that name was not the name of what started the plan."""
    labels = {"schedule": "of a user", "trigger": "of a user", **{f"l{n}": "x" for n in range(48)}}
    target, now = Target(None, "there is no job j"), datetime(2026, 3, 1, tzinfo=UTC)
    nightly = Schedule.model_validate(
        {"id": "s", "name": "s", "target": {"kind": "job", "id": "j"}, "cron": "0 1 * * *", "labels": labels}
    )
    tick = ScheduleTickedData(
        tick_id=A, schedule_id="s", schedule_revision=1, due_at=now, event_date=now.date(), plan_id=B, schedule=nightly
    )
    assert tick_request(tick, target, now).data.labels == {**labels, "schedule": "s"}
    started = trigger(labels={f"l{n}": "x" for n in range(50)})
    matched = Match(MatchOutcome.MATCHED, event_date=now.date())
    request = trigger_request(started, [outside(time=now)], matched, B, target, 1)
    assert request.data.labels == {**started.labels, "trigger": "t"}


async def test_outcomes_with_long_reasons_are_published_in_pages_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 events that a paused trigger left out after a freeze, with its note: the pass failed for every trigger."""

    async def count(*_: object, **__: object) -> TriggerCount:
        return TriggerCount(0, 0, None, 1)

    monkeypatch.setattr(starts, "count", count)
    settled = Settled(KnownTrigger(trigger(), 1), datetime(2026, 3, 1, tzinfo=UTC))
    for number in range(200):
        settled.record(outside(id=f"{number}"), MatchOutcome.SKIPPED, "n" * 2000)
    connection: Any = None
    work = UnitOfWork(connection, "planner", [])
    await matching.publish(work, settled)
    assert len(work.messages) == 2
