"""The envelope: building events, their ids and what is handed on."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from signalbox_contracts.envelope import IdMissing
from signalbox_contracts.messages.requests import PlanOperationData, PlanPause
from signalbox_contracts.messages.states import OperationResult, OperationResultData, Outcome
from signalbox_contracts.messages.triggers import TriggerEvent

PLAN = UUID("0195e1a0-7c00-7000-8000-000000000001")
NOW = datetime(2026, 3, 29, 0, 0, 7, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DATA = PlanOperationData(plan_id=PLAN, operation_id=PLAN, actor="user:ann")


def pause(**more: Any) -> PlanPause:
    given: dict[str, Any] = {"subject": PLAN, "source": "signalbox/api-gateway", "time": NOW, "id": "1", **more}
    return PlanPause.of(DATA, **given)


def test_a_fact_published_twice_has_one_id_and_a_newer_one_another() -> None:
    ids = [pause(id=None, aggregateversion=version).id for version in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_a_command_without_an_id_is_refused_because_contracts_make_no_random_ones() -> None:
    with pytest.raises(IdMissing, match=r"signalbox\.plan\.pause\.v1"):
        pause(id=None)


def test_the_cause_hands_on_correlation_trace_and_project() -> None:
    first = pause(traceparent=TRACE, tracestate="a=1", project="finance")
    second = pause(id="2", cause=first)
    third = pause(id="3", cause=second)
    assert (third.causationid, third.correlationid) == ("2", "1")
    assert (third.traceparent, third.tracestate, third.project) == (TRACE, "a=1", "finance")


def test_what_is_given_wins_over_the_cause() -> None:
    other = TRACE.replace("00f067aa0ba902b7", "00f067aa0ba902b8")
    event = pause(cause=pause(traceparent=TRACE, tracestate="a=1"), traceparent=other, correlationid="c")
    assert (event.traceparent, event.correlationid) == (other, "c")


def test_a_broken_trace_is_dropped_and_never_stops_work() -> None:
    assert pause(traceparent="nonsense").traceparent is None


def test_times_are_written_in_utc_and_must_be_aware() -> None:
    assert pause(time=NOW.astimezone(timezone(timedelta(hours=2)))).time.tzinfo is UTC
    with pytest.raises(ValidationError, match="timezone"):
        pause(time=NOW.replace(tzinfo=None))


def test_events_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(pause(), "id", "2")  # noqa: B010 - the type checker refuses the plain form


@pytest.mark.parametrize("id", ["", "a\x00b", "a\nb", "x" * 513])
def test_attributes_are_bounded_and_without_control_characters(id: str) -> None:
    with pytest.raises(ValidationError):
        pause(id=id)


def test_an_operation_is_keyed_by_its_target() -> None:
    data = OperationResultData(operation_id=PLAN, target="engine:a", operation="engine.test", outcome=Outcome.DONE)
    event = OperationResult.of(data, subject="engine:a", source="s", time=NOW, id="1")
    assert event.key == "engine:a"


def test_an_outside_event_has_no_type_of_its_own() -> None:
    with pytest.raises(TypeError, match="no type of its own"):
        TriggerEvent.type_name()
