"""What a fact tells of the attempt that ended before its task was queued again."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_contracts.states import TaskState
from signalbox_executor.facts import record
from signalbox_executor.lifecycle import Outcome, Verdict
from signalbox_executor.store.finish import AttemptResult
from signalbox_executor.store.rows import Task

AT = datetime(2026, 3, 1, tzinfo=UTC)
MOVED = '[{"version": 5, "state": "QUEUED", "attempt": 2, "at": "2026-03-01T00:00:00Z", "reason": ""}]'
QUEUED_AGAIN = Task(
    id=UUID(int=1), plan_id=UUID(int=2), item_key="a", step=None, engine_id="e1", state=TaskState.QUEUED, reason="",
    version=5, attempt=2, max_attempts=3, infrastructure_faults=0, fence=1, owner=None, sends=0, handle=None,
    handle_url=None, phase=None, not_before=AT, cancel_requested_at=None, kill=False, waiting=None,
    cause=EndCause.FAILED, error="exit code 3", exit_code=3, result=None, queued_at=AT, state_at=AT, submitted_at=AT,
    started_at=AT, observed_at=AT, ended_at=None, traceparent=None, pending_transitions=MOVED,
)  # fmt: skip


def ended(handle: str) -> AttemptResult:
    verdict = Verdict(outcome=Outcome.OVER, phase=Phase.FAILED, cause=EndCause.FAILED)
    return AttemptResult(task_id=UUID(int=1), attempt=1, verdict=verdict, handle=handle)


@pytest.mark.parametrize(
    ("handle", "published"),
    [("job-1", "job-1"), ("job\0", "job\N{REPLACEMENT CHARACTER}"), ("job\ud800", "job?"), ("j" * 1025, None)],
)
def test_a_handle_that_no_reader_takes_costs_a_fact_nothing_else(handle: str, published: str | None) -> None:
    fact = record(QUEUED_AGAIN, ended(handle))
    assert [past.handle for past in fact.attempts] == ([] if published is None else [published])
    assert (fact.error, len(fact.transitions)) == ("exit code 3", 1)
    assert "\\u0000" not in fact.model_dump_json()


def test_an_attempt_that_ended_for_good_is_told_by_the_state_itself() -> None:
    over = QUEUED_AGAIN._replace(state=TaskState.FAILED, attempt=1, ended_at=AT)
    assert record(over, ended("job-1")).attempts == ()
