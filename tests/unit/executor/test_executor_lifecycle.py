"""The rules of a task's life: what an observation means, who pays for another try, when, and why a task waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_contracts.definitions.rules import Retries
from signalbox_contracts.messages.plans import WaitReason
from signalbox_contracts.messages.states import EngineRecord
from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TASK_TRANSITIONS, TaskState
from signalbox_executor.engines.port import ENDS, Observation
from signalbox_executor.lifecycle import (
    Budget,
    Outcome,
    Queue,
    Run,
    budget,
    first_in_line,
    is_worth_publishing,
    judge,
    retry_delay,
    who_is_ahead,
    why_waiting,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = Run(
    state=TaskState.RUNNING,
    phase=Phase.RUNNING,
    attempt=1,
    infrastructure_faults=0,
    retries=Retries(max_attempts=3, delay_seconds=10, max_delay_seconds=60),
    on_unknown="hold",
)


def seen(phase: Phase, **changes: Any) -> Observation:
    cause = {Phase.SUCCEEDED: EndCause.COMPLETED, Phase.FAILED: EndCause.FAILED, Phase.KILLED: EndCause.KILLED}
    values: dict[str, Any] = {"cause": cause.get(phase), **changes}
    return Observation(run_key="sb-1", phase=phase, handle="h", at=NOW, **values)


@pytest.mark.parametrize(
    ("cause", "exit_code", "retries", "pays"),
    [
        (EndCause.FAILED, 1, Retries(), Budget.ATTEMPT),
        (EndCause.FAILED, 1, Retries(retry_on=("lost",)), Budget.NONE),
        (EndCause.FAILED, 1, Retries(retry_on_exit_codes=(1, 75)), Budget.ATTEMPT),
        (EndCause.FAILED, 2, Retries(retry_on_exit_codes=(1, 75)), Budget.NONE),
        (EndCause.FAILED, None, Retries(retry_on_exit_codes=(1, 75)), Budget.ATTEMPT),
        (EndCause.TIMED_OUT, None, Retries(), Budget.ATTEMPT),
        (EndCause.TIMED_OUT, None, Retries(retry_on=()), Budget.NONE),
        (EndCause.LOST, None, Retries(), Budget.INFRASTRUCTURE),
        (EndCause.LOST, None, Retries(retry_on=("failed",)), Budget.NONE),
        (EndCause.INFRASTRUCTURE, None, Retries(retry_on=()), Budget.INFRASTRUCTURE),
        (EndCause.REFUSED, None, Retries(), Budget.NONE),
        (EndCause.KILLED, None, Retries(), Budget.NONE),
        (EndCause.CANCELLED, None, Retries(), Budget.NONE),
        (EndCause.CHANGED, None, Retries(), Budget.NONE),
    ],
)
def test_the_cause_says_who_pays_for_another_try(
    cause: EndCause, exit_code: int | None, retries: Retries, pays: Budget
) -> None:
    assert budget(cause, exit_code, retries) is pays


@given(
    st.integers(1, 200), st.floats(0, 86_400), st.floats(0, 86_400), st.floats(0, 1, exclude_max=True, allow_nan=False)
)
def test_a_delay_is_full_jitter_between_nothing_and_the_doubled_delay(
    tries: int, delay: float, more: float, chance: float
) -> None:
    ceiling = min(delay + more, 86_400.0)
    retries = Retries(delay_seconds=delay, max_delay_seconds=ceiling)
    bound = min(ceiling, delay * 2 ** (tries - 1))
    assert 0 <= retry_delay(tries, retries, chance=chance) <= bound
    assert retry_delay(tries, retries, chance=0) == 0


@given(st.sampled_from([p for p in Phase if p is not Phase.OTHER]), st.sampled_from(["RUNNING", "UNKNOWN"]))
def test_what_an_observation_leads_to_is_a_move_that_is_allowed(phase: Phase, state: str) -> None:
    run = replace(RUN, state=TaskState(state), phase=None)
    verdict = judge(run, seen(phase), chance=0.5)
    if verdict is None:
        assert (phase, state) == (Phase.LOST, "UNKNOWN")
        return
    leads_to = {
        Outcome.RUNNING: {TaskState.RUNNING},
        Outcome.UNKNOWN: {TaskState.UNKNOWN},
        Outcome.SUCCEEDED: {TaskState.SUCCEEDED},
        Outcome.OVER: {TaskState.QUEUED, TaskState.FAILED, TaskState.CANCELLED},
    }[verdict.outcome]
    assert leads_to <= TASK_TRANSITIONS[run.state] | {run.state}
    assert (verdict.cause is not None) == (phase in ENDS)


def test_the_same_phase_again_changes_nothing() -> None:
    assert judge(RUN, seen(Phase.RUNNING), chance=0) is None
    assert judge(RUN, seen(Phase.SUSPENDED), chance=0) is not None


def test_not_found_is_unknown_and_never_by_itself_another_try() -> None:
    verdict = judge(RUN, seen(Phase.LOST), chance=0)
    assert verdict is not None
    assert (verdict.outcome, verdict.budget) == (Outcome.UNKNOWN, Budget.NONE)
    unknown = replace(RUN, state=TaskState.UNKNOWN, phase=Phase.LOST)
    for policy in ("hold", "fail", "retry"):
        assert judge(replace(unknown, on_unknown=policy), seen(Phase.LOST), chance=0) is None, "not before its time"
    over = replace(unknown, patience_over=True)
    assert judge(over, seen(Phase.LOST), chance=0) is None, "hold waits for a person"
    failed, retried = (judge(replace(over, on_unknown=p), seen(Phase.LOST), chance=0) for p in ("fail", "retry"))
    assert failed is not None
    assert retried is not None
    assert (failed.outcome, failed.budget) == (Outcome.OVER, Budget.NONE)
    assert (retried.outcome, retried.budget) == (Outcome.OVER, Budget.INFRASTRUCTURE)


def test_a_run_that_would_not_stop_stays_unknown_while_it_runs_and_ends_when_it_does() -> None:
    """Else it is RUNNING and UNKNOWN in turn, two facts with every look."""
    stubborn = replace(RUN, state=TaskState.UNKNOWN, stop_given_up=True)
    assert judge(stubborn, seen(Phase.RUNNING), chance=0) is None
    ended = judge(stubborn, seen(Phase.SUCCEEDED), chance=0)
    assert ended is not None
    assert ended.outcome is Outcome.SUCCEEDED


def test_a_task_that_was_unknown_and_is_seen_again_runs_again() -> None:
    verdict = judge(replace(RUN, state=TaskState.UNKNOWN), seen(Phase.RUNNING), chance=0)
    assert verdict is not None
    assert verdict.outcome is Outcome.RUNNING


def test_a_run_we_stopped_because_of_its_time_limit_timed_out_however_it_ended() -> None:
    for phase in (Phase.KILLED, Phase.FAILED):
        verdict = judge(replace(RUN, stop_cause="timed_out"), seen(phase), chance=0)
        assert verdict is not None
        assert (verdict.cause, verdict.budget) == (EndCause.TIMED_OUT, Budget.ATTEMPT)
    killed = judge(RUN, seen(Phase.KILLED), chance=0)
    assert killed is not None
    assert killed.budget is Budget.NONE, "somebody killed it: nobody wants it again"
    succeeded = judge(replace(RUN, stop_cause="timed_out"), seen(Phase.SUCCEEDED), chance=0)
    assert succeeded is not None
    assert succeeded.outcome is Outcome.SUCCEEDED


def test_faults_and_tries_have_delays_of_their_own() -> None:
    third_fault = replace(RUN, attempt=4, infrastructure_faults=3)
    failed = judge(third_fault, seen(Phase.FAILED), chance=0.5)
    lost = judge(third_fault, seen(Phase.FAILED, cause=EndCause.INFRASTRUCTURE), chance=0.5)
    assert failed is not None
    assert lost is not None
    assert (failed.delay_seconds, lost.delay_seconds) == (5, 30)


PLAN, OTHER = UUID(int=1), UUID(int=2)
CLEAR = Queue(
    plan_id=PLAN, engine_id="e1", engine_known=True, definitions_revision=42, seen_revision=42, engine_limit=10,
    rules_known=True, plan_limit=5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why", "holder"),
    [
        ({"rules_known": False}, WaitReason.RULES_NOT_SEEN, f"plan:{PLAN}"),
        ({"held": True, "held_reason": "paused by user:ann"}, WaitReason.PLAN_PAUSED, f"plan:{PLAN}"),
        ({"canary_first": 2, "plan_started": 2}, WaitReason.CANARY, f"plan:{PLAN}"),
        ({"plan_active": 5}, WaitReason.PLAN_LIMIT, f"plan:{PLAN}"),
        ({"group": "part", "group_limit": 2, "group_active": 2}, WaitReason.STEP_LIMIT, "step:part"),
        ({"plan_tokens": 0.5, "plan_rate": 60}, WaitReason.START_RATE, f"plan:{PLAN}"),
        ({"engine_known": False}, WaitReason.DEFINITION_NOT_SEEN, "engine:e1"),
        ({"seen_revision": 41}, WaitReason.DEFINITION_NOT_SEEN, "engine:e1"),
        ({"intake": "draining"}, WaitReason.ENGINE_PAUSED, "engine:e1"),
        ({"reached": False}, WaitReason.ENGINE_UNREACHABLE, "engine:e1"),
        ({"breaker_since_at": NOW, "probe_at": NOW}, WaitReason.BREAKER_OPEN, "engine:e1"),
        ({"engine_active": 10}, WaitReason.ENGINE_LIMIT, "engine:e1"),
        ({"engine_tokens": 0.4, "engine_rate": 60}, WaitReason.START_RATE, "engine:e1"),
    ],
)
def test_what_waits_says_what_for_and_who_holds_that(changes: dict[str, Any], why: WaitReason, holder: str) -> None:
    waiting = why_waiting(replace(CLEAR, **changes), now=NOW)
    assert waiting is not None
    assert (waiting.why, waiting.holder, waiting.since_at) == (why, holder, NOW)
    assert waiting.detail


def test_what_is_next_waits_for_nothing_and_a_start_for_its_token() -> None:
    assert why_waiting(CLEAR, now=NOW) is None
    waiting = why_waiting(replace(CLEAR, engine_tokens=0.5, engine_rate=60.0), now=NOW)
    assert waiting is not None
    assert waiting.until_at == NOW + timedelta(seconds=0.5)


def test_who_goes_first_on_a_full_engine_is_named_unless_it_holds_itself_back() -> None:
    full = replace(CLEAR, engine_active=10)
    urgent = replace(full, plan_id=OTHER, plan_priority=90)
    waiting = why_waiting(full, ahead=who_is_ahead(full, [full, urgent]), now=NOW)
    assert waiting is not None
    assert (waiting.why, waiting.holder) == (WaitReason.PRIORITY, f"plan:{OTHER}")
    assert why_waiting(CLEAR, ahead=urgent, now=NOW) is None, "there is room for both"
    assert who_is_ahead(urgent, [full, urgent]) is None
    assert who_is_ahead(full, [replace(urgent, held=True)]) is None
    assert who_is_ahead(full, [replace(urgent, engine_id="e2")]) is None
    assert who_is_ahead(full, [replace(full, plan_id=OTHER)]) is None, "equals go by age"


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4, st.booleans()), max_size=12))
def test_two_queues_of_an_engine_say_as_much_as_all_about_who_is_ahead(
    values: list[tuple[int, int, int, int, bool]],
) -> None:
    """To compare a thousand queues with each other takes a second, in every pass, in which nothing else is done."""
    queues = [
        replace(CLEAR, engine_id=f"e{engine}", plan_id=UUID(int=plan), plan_priority=one, task_priority=two, held=held)
        for engine, plan, one, two, held in values
    ]
    first = first_in_line(queues)
    assert all(len(found) <= 2 for found in first.values())
    for queue in queues:
        assert who_is_ahead(queue, first.get(queue.engine_id, ())) is who_is_ahead(queue, queues)


ENGINE = EngineRecord(engine_id="e1", version=2, definitions_revision=1, slots=100, slots_used=50, last_answer_at=NOW)


@pytest.mark.parametrize(
    ("changes", "worth"),
    [
        ({"version": 3}, False),
        ({"slots_used": 49}, False),
        ({"slots_used": 61}, True),
        ({"slots_used": 0}, True),
        ({"queued": 1}, True),
        ({"breaker": "open"}, True),
        ({"intake": "paused"}, True),
        ({"unknown": 1}, True),
        ({"last_error": "no answer"}, True),
        ({"last_answer_at": NOW + timedelta(seconds=29)}, False),
        ({"last_answer_at": NOW + timedelta(seconds=31)}, True),
    ],
)
def test_an_engine_is_stated_when_it_changed_and_not_for_every_slot(changes: dict[str, Any], worth: bool) -> None:
    assert is_worth_publishing(EngineRecord.model_validate({**ENGINE.model_dump(), **changes}), ENGINE) is worth
    assert is_worth_publishing(ENGINE, None)
