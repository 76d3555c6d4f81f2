"""What is worth telling, to whom, and in which words."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json
from standardwebhooks.webhooks import Webhook

from signalbox_contracts import notifications as rendering
from signalbox_contracts.definitions.channel import EVENT_TYPES, Deadline, MessageTemplates, event_type
from signalbox_contracts.definitions.problems import problems_in
from signalbox_contracts.samples.definitions import channels
from signalbox_notifier import incidents
from signalbox_notifier.deadlines import deadlines
from signalbox_notifier.facts import published_tries
from signalbox_notifier.notices import Notice, PlanSummary, plan_notices, wants
from signalbox_notifier.retries import MAX_THROTTLED, SCHEDULE_SECONDS, THROTTLED_SECONDS, Failed, retry_in_seconds
from support.notifier import plan_state, subscription, webhook

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


def test_a_pause_that_a_channel_asks_for_does_not_use_up_its_tries() -> None:
    pause = Failed("HTTP 429", retry_after_seconds=20, throttled=True)
    assert [retry_in_seconds(number + 1, pause, 0.5, number) for number in range(60)] == [20.0] * 60
    assert retry_in_seconds(1, Failed("HTTP 429", throttled=True), 0.5) == THROTTLED_SECONDS
    assert retry_in_seconds(61, Failed("HTTP 500"), 0.5, throttled=60) == SCHEDULE_SECONDS[0]
    endless = retry_in_seconds(MAX_THROTTLED + 20, pause, 0.5, MAX_THROTTLED)
    assert endless is None


def test_templates_give_a_message_the_words_of_its_channel_and_a_bad_one_leaves_the_usual() -> None:
    sample = rendering.sample_message("workflow.failed", NOW)
    words = MessageTemplates(
        title="{{ plan_name }} {{ 'again' if occurrences > 1 else 'failed' }}",
        text="{{ labels.team | upper }}: {{ text }} {{ details.state }}",
    )
    message, problem = rendering.with_templates(sample, words)
    assert (message.title, problem) == ("Nightly again", "")
    assert message.text == "DATA: exit code 1: <input> & output differ FAILED"
    missing, problem = rendering.with_templates(sample, MessageTemplates(title="{{ labels.owner }}"))
    assert missing.title == sample.title
    assert "templates.title cannot be rendered: " in problem
    assert "owner" in problem
    endless = sample.model_copy(update={"text": "x" * 60_000})
    _, problem = rendering.with_templates(endless, MessageTemplates(text="{{ text }}{{ text }}"))
    assert problem == "templates.text renders to more than 65536 characters"
    secret = sample.model_copy(update={"text": "secret://slack-token"})
    assert "secret" in rendering.with_templates(secret, MessageTemplates(text="{{ text }}"))[1]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ title * 1000000 }}", "multiplication is not allowed"),
        ("{{ titel }}", "'titel' is not known: allowed are at, "),
        ("{{ title | center(99) }}", "filter 'center' is not allowed"),
        ("{{ title ", "unexpected"),
        ("{{ ''.__class__.__mro__ }}{{ range(9) }}", "calls are not allowed"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_saved(template: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        webhook("hook", "https://hooks.example", templates={"text": template})
    (problem,) = problems_in(refused.value)
    assert problem.field == "templates.text"
    assert words in problem.allowed


def test_a_digest_says_how_many_events_of_each_type_and_shows_the_first_of_them() -> None:
    one, other = (rendering.sample_message(kind, NOW) for kind in ("workflow.failed", "workflow.completed"))
    digest = rendering.digest_message([one] * 60 + [other])
    assert (digest.title, digest.severity, digest.occurrences) == (
        "61 events: 1 workflow.completed, 60 workflow.failed", "error", 61,
    )  # fmt: skip
    assert digest.text.splitlines()[-1] == "and 11 more"


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_channel_has_a_preview_of_every_event_type(kind: str) -> None:
    sample = rendering.sample_message(kind, NOW)
    for channel in channels():
        assert to_json(rendering.payload_for(channel, sample))


def test_a_deadline_names_a_time_zone_that_exists() -> None:
    """With one that does not, the notifier parked every fact of the plans it is about: nobody got a message."""
    with pytest.raises(ValidationError, match="'Europe/Pragu' is not a time zone"):
        Deadline(end_by="02:30", zone="Europe/Pragu")


@pytest.mark.parametrize(
    ("created_at", "zone"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "America/New_York"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "UTC"),
        (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "Asia/Tokyo"),
    ],
)
def test_a_plan_at_an_end_of_the_calendar_has_no_deadline_beyond_it(created_at: datetime, zone: str) -> None:
    record = plan_state("ACCEPTED").data.model_copy(update={"created_at": created_at})
    assert list(deadlines(Deadline(start_by="02:30", end_by="02:30", zone=zone), record)) == []


def test_the_tries_of_a_delivery_fit_into_a_message_whatever_was_answered() -> None:
    """Else one receiver that answers 429 with control characters stops the states of every delivery and incident."""
    tries = [(number, NOW, "retrying", "\x01" * 500) for number in range(1, 101)]
    published = published_tries(tries)
    assert [one.number for one in published] == list(range(1, 101))
    assert published[-1].answer == "\x01" * 500, "the newest is whole"
    assert len(to_json([one.model_dump(mode="json") for one in published])) < 250_000
    few = published_tries([(1, NOW, "dead", "x" * 2000)])
    assert few[0].answer == "x" * 2000
