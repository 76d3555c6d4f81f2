"""The table of topics, the states and the packing of items."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import pytest
from pydantic import ValidationError

from signalbox_contracts import states
from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.plans import Counts
from signalbox_contracts.messages.tasks import ResolvedItem, TaskRecord
from signalbox_contracts.messages.triggers import TriggerEvent
from signalbox_contracts.pages import ENVELOPE_BYTES, packed
from signalbox_contracts.states import PLAN_ENDS, PLAN_TRANSITIONS, TASK_ENDS, TASK_TRANSITIONS, PlanState, TaskState
from signalbox_contracts.topics import TOPICS, UnknownTopic, topic, topic_of
from signalbox_contracts.vocabulary import OpenEnum
from signalbox_contracts.wire import MAX_MESSAGE_BYTES, MessageTooLarge

DESIGNED = {
    "requests.v1": "plan.request plan.apply plan.approve plan.reject plan.pause plan.resume plan.cancel plan.rules "
    "plan.retry",
    "operations.v1": "task.resolve task.savepoint task.annotate dag.pause oozie.control oozie.show "
    "engine.test artifact.check channel.test "
    "dead_letter.redrive dead_letter.drop "
    "delivery.resend incident.acknowledge incident.snooze incident.resolve schedule.backfill "
    "logs.follow runs.observe plan.republish "
    "reprocessing.start reprocessing.cancel",
    "ticks.v1": "schedule.ticked schedule.tick_skipped",
    "plans.v1": "plan.state plan.items",
    "task-commands.v1": "plan.rules tasks.ensure tasks.cancel selection.resolve",
    "tasks.v1": "tasks.state selection.resolved task.progress",
    "states.v1": "engine.state schedule.state trigger.state source.state service.state incident.state operation.result "
    "reprocessing.state",
    "definitions.v1": "definition.snapshot",
    "deliveries.v1": "delivery.state",
    "dead-letters.v1": "dead_letter.parked dead_letter.state",
}


def test_every_topic_carries_the_messages_the_design_names() -> None:
    carried = {
        place.name: " ".join(
            message.type_name().removeprefix("signalbox.").removesuffix(".v1") for message in place.messages
        )
        for place in TOPICS
        if place.kind != "external"
    }
    assert carried == DESIGNED


def test_a_message_class_is_on_one_topic_and_a_type_once_on_a_topic() -> None:
    classes = Counter(message for place in TOPICS for message in place.messages)
    assert max(classes.values()) == 1
    for place in TOPICS:
        assert all(topic_of(message) is place for message in place.messages)
        if place.messages != (TriggerEvent,):
            assert len({message.type_name() for message in place.messages}) == len(place.messages)


def test_topics_are_kept_as_the_design_says() -> None:
    week, month = "604800000", "2592000000"
    for place in TOPICS:
        config = place.config()
        assert config["max.message.bytes"] == "1048576"
        if place.name == "definitions.v1":
            assert (config["cleanup.policy"], config["delete.retention.ms"]) == ("compact", month)
            assert "retention.ms" not in config
            assert place.partitions == 1
        else:
            assert config["cleanup.policy"] == "delete"
            assert config["retention.ms"] == (month if place.name == "dead-letters.v1" else week)


def test_a_setting_can_be_overridden_without_changing_the_table() -> None:
    assert topic("plans.v1").config(retention_ms="1000")["retention.ms"] == "1000"
    assert topic("plans.v1").config()["retention.ms"] == "604800000"


def test_full_names_take_a_prefix() -> None:
    assert topic("plans.v1").full_name() == "signalbox.plans.v1"
    assert topic("plans.v1").full_name("test-7.") == "test-7.plans.v1"


@pytest.mark.parametrize("name", ["plan.v1", "", "triggers.v1.", "triggers.v1.a b", "triggers.v1.a/b", "triggers.v1.ä"])
def test_an_unknown_topic_is_refused(name: str) -> None:
    with pytest.raises(UnknownTopic):
        topic(name)


def test_a_message_of_no_topic_is_refused() -> None:
    with pytest.raises(UnknownTopic, match="Event"):
        topic_of(Event)


PLANS = (PLAN_TRANSITIONS, PLAN_ENDS, PlanState.ACCEPTED)
TASKS = (TASK_TRANSITIONS, TASK_ENDS, TaskState.QUEUED)


@pytest.mark.parametrize(("table", "ends", "start"), [PLANS, TASKS], ids=["plan", "task"])
def test_every_state_can_be_reached_and_can_end(
    table: Mapping[OpenEnum, frozenset[OpenEnum]], ends: frozenset[OpenEnum], start: OpenEnum
) -> None:
    """A state nobody reaches is dead text; one that cannot end is a plan that hangs for ever."""
    assert set(table) == {state for state in type(start) if state != "OTHER"}
    reached: set[OpenEnum] = {start}
    while more := {after for state in reached for after in table[state]} - reached:
        reached |= more
    assert reached == set(table)
    can_end: set[OpenEnum] = set(ends)
    while more := {state for state in table if state not in can_end and table[state] & can_end}:
        can_end |= more
    assert can_end == set(table)
    assert all(not table[end] for end in ends)


def test_what_may_have_work_on_an_engine_holds_a_slot() -> None:
    assert set(TaskState) - TASK_ENDS - {TaskState.QUEUED, TaskState.OTHER} == states.TASKS_HOLDING_A_SLOT


def test_a_task_is_never_submitted_without_a_recorded_intent() -> None:
    """Only SUBMITTING leads out of CLAIMED towards the engine: otherwise a crash would leave a run nobody looks for."""
    assert TaskState.RUNNING not in TASK_TRANSITIONS[TaskState.CLAIMED] | TASK_TRANSITIONS[TaskState.QUEUED]


def test_counts_must_balance() -> None:
    assert Counts(total=3, waiting=1, unknown=1, skipped=1).total == 3
    with pytest.raises(ValidationError, match="total 3 is not the sum of its parts, 2"):
        Counts(total=3, waiting=2)


def item(number: int, size: int = 0) -> ResolvedItem:
    return ResolvedItem(key=str(number), target="t", details="x" * size)


def test_items_are_packed_in_order_within_both_caps() -> None:
    items = [item(number, size=(number % 7) * 1000) for number in range(1000)]
    pages = list(packed(items))
    assert [one for page in pages for one in page] == items
    assert max(len(page) for page in pages) <= 200
    assert all(sum(len(one.model_dump_json()) for one in page) < MAX_MESSAGE_BYTES for page in pages)
    assert len(pages) < 20


def test_ten_thousand_small_items_are_fifty_messages() -> None:
    assert len(list(packed([item(number) for number in range(10_000)]))) == 50


def test_one_item_over_the_cap_is_refused_and_no_item_makes_no_page() -> None:
    nothing: list[ResolvedItem] = []
    assert list(packed(nothing)) == []
    with pytest.raises(MessageTooLarge):
        list(packed([item(0, size=MAX_MESSAGE_BYTES - ENVELOPE_BYTES)]))


def test_a_result_over_16_kib_is_refused() -> None:
    task = {"task_id": UUID(int=1), "item_key": "k", "version": 1, "state": "SUCCEEDED", "engine": "e"}
    queued = {"queued_at": "2026-03-29T00:00:07Z"}
    assert TaskRecord.model_validate({**task, **queued, "result": "x" * 16_382}).result
    with pytest.raises(ValidationError, match="at most 16384"):
        TaskRecord.model_validate({**task, **queued, "result": "x" * 16_383})
