"""What is worth telling, to whom, and in which words."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json
from standardwebhooks.webhooks import Webhook

from signalbox_contracts import notifications as rendering
from signalbox_contracts.definitions.channel import event_type
from signalbox_notifier import incidents
from signalbox_notifier.notices import Notice, PlanSummary, plan_notices, wants
from signalbox_notifier.retries import SCHEDULE_SECONDS, Failed, retry_in_seconds
from support.notifier import plan_state, subscription

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def notice(text: str = "exit code 1", type: str = "workflow.failed", **changes: Any) -> Notice:
    plan = PlanSummary(uuid.UUID(int=1), "Nightly", "default", "job:nightly", {"team": "data"})
    return Notice("e", type, "error", "Nightly: failed", text, NOW, changes.pop("plan", plan), changes)


def test_the_transitions_of_a_plan_become_the_documented_event_types() -> None:
    ended = plan_state("ACCEPTED", "RUNNING", "PAUSED", "RUNNING", "FAILED", reason="bad").data
    assert [one.type for one in plan_notices(ended, 0)] == [
        "workflow.triggered", "workflow.started", "workflow.failed",
    ]  # fmt: skip
    assert [one.type for one in plan_notices(ended, 2)] == ["workflow.failed"]
    child = plan_state("ACCEPTED", parent=uuid.uuid4()).data
    assert [one.type for one in plan_notices(child, 0)] == ["workflow.retried"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"events": ["workflow_failed"]}, True),
        ({"events": ["workflow.*"]}, True),
        ({"events": []}, True),
        ({"events": ["task.*"]}, False),
        ({"events": [], "at_least": "critical"}, False),
        ({"events": [], "targets": ["nightly"]}, True),
        ({"events": [], "targets": ["other"]}, False),
        ({"events": [], "match_labels": {"team": "data"}}, True),
        ({"events": [], "match_labels": {"team": "web"}}, False),
        ({"events": [], "project": "other"}, False),
        ({"events": [], "enabled": False}, False),
    ],
)
def test_a_subscription_wants_what_it_names(changes: dict[str, Any], expected: bool) -> None:
    events = changes.pop("events")
    assert wants(subscription("s", "c", *events, **changes), notice()) is expected


def test_both_spellings_of_an_event_type_are_one() -> None:
    assert event_type("workflow_failed") == event_type("workflow.failed") == "workflow.failed"
    assert event_type("dead_letter") == "dead_letter"


def test_numbers_and_ids_do_not_make_another_cause() -> None:
    same = [notice(f"pod {uuid.uuid4()} ended with {n} after {n * 7} s at 0x{n:x}").fingerprint for n in range(3)]
    assert len(set(same)) == 1
    assert notice("disk full").fingerprint != same[0]


def test_an_incident_opens_counts_recovers_and_opens_again() -> None:
    first = incidents.occur(None, notice())
    second = incidents.occur(first, notice())
    assert (second.occurrences, second.round, second.id) == (2, 1, first.id)
    recovered = incidents.recover(second, NOW + timedelta(minutes=1))
    assert recovered.state == "RECOVERED"
    assert incidents.recover(second, NOW - timedelta(minutes=1)) == second
    again = incidents.occur(recovered, notice())
    assert (again.state, again.round, again.occurrences) == ("OPEN", 2, 1)
    assert incidents.needs_message(again, incidents.Message(1, 2, None))
    assert not incidents.needs_message(second, incidents.Message(1, 1, None))
    with pytest.raises(ValueError, match="recovered"):
        incidents.acknowledge(recovered, "user:ann", "")


def test_tries_follow_the_schedule_and_end() -> None:
    waits = [retry_in_seconds(attempts, Failed("no"), 0.5) for attempts in range(1, len(SCHEDULE_SECONDS) + 2)]
    assert waits == [*SCHEDULE_SECONDS, None]
    assert retry_in_seconds(1, Failed("no", retry_after_seconds=60), 0.5) == 60
    assert retry_in_seconds(2, Failed("no", retry_after_seconds=60), 0.5) == SCHEDULE_SECONDS[1]
    assert retry_in_seconds(1, Failed("no", retry_after_seconds=1e12), 0.5) == 86_400


@given(st.text(max_size=4000), st.text(min_size=1, max_size=200))
def test_no_text_breaks_a_message_or_its_limits(text: str, title: str) -> None:
    message = rendering.Message(type="t", severity="error", title=title, text=text, at=NOW)
    slack = rendering.slack_payload(message)
    assert all(len(block.get("text", {}).get("text", "")) <= 3000 for block in slack["blocks"])
    assert len(slack["blocks"][0]["text"]["text"]) <= 150
    mail = rendering.email(message)
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject
    assert "<script" not in mail.html


def test_a_signature_is_verified_by_the_official_library() -> None:
    key = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = to_json(rendering.webhook_payload(rendering.Message(type="t", severity="info", title="x", at=NOW), None))
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "1", "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign("1", now, body.decode()),
    }  # fmt: skip
    assert Webhook(key).verify(body, headers)
