"""Every reason to wait has a sentence with its holder, its limit, since when, and a remedy."""

import re
from typing import Any

import pytest

from signalbox_client import reference
from signalbox_contracts.messages.plans import WaitReason
from signalbox_gateway.read_model import wait_reasons

PLAN, TASK = "0195-plan", "0195-task"
SINCE = "2026-03-29T01:30:00Z"


def describe(reason: str, holder: str = "", detail: str = "", until: str | None = None) -> str:
    waiting: dict[str, Any] = {"why": reason, "holder": holder, "since_at": SINCE, "until_at": until, "detail": detail}
    return wait_reasons.describe(waiting, plan=PLAN, engine="local", task=TASK)["sentence"]


@pytest.mark.parametrize("reason", list(WaitReason))
def test_every_reason_has_a_sentence_with_since_and_detail(reason: WaitReason) -> None:
    sentence = describe(reason.value, "engine:local", "8 of 8 slots are taken")
    assert "8 of 8 slots are taken" in sentence
    assert "since 2026-03-29T01:30:00Z; " in sentence
    assert reason in wait_reasons.WORDS


@pytest.mark.parametrize(
    ("reason", "holder", "words"),
    [
        ("plan_limit", "plan", f"the limit of plan {PLAN} is used up"),
        ("plan_limit", "plan", f"`signalbox plan rules {PLAN} --limit N`"),
        ("step_limit", "step:part", "the concurrency of step part is used up"),
        ("engine_limit", "engine:local", "the limit of engine local is used up"),
        ("engine_limit", "engine:local", "`signalbox engine update local --concurrency N`"),
        ("engine_limit", "engine:local", "`signalbox task list --engine local --state RUNNING`"),
        ("start_rate", "engine:local", "the start rate of engine local"),
        ("start_rate", "engine:local", "`signalbox engine update local --starts-per-minute N`"),
        ("start_rate", "plan", f"`signalbox plan rules {PLAN} --starts-per-minute N`"),
        ("breaker_open", "engine:local", "`signalbox engine test local`"),
        ("engine_paused", "engine:local", "`signalbox engine resume local`"),
        ("engine_unreachable", "engine:local", "engine local cannot be reached"),
        ("engine_throttled", "engine:local", "engine local takes no more for now"),
        ("plan_paused", "plan", f"`signalbox plan resume {PLAN}`"),
        ("priority", "plan:0195-other", "plan 0195-other goes first"),
        ("priority", "plan:0195-other", f"`signalbox plan rules {PLAN} --priority N`"),
        ("retry_delay", "", f"`signalbox task cancel {TASK}`"),
        ("definition_not_seen", "engine:local", "definition of engine local"),
        ("person", "engine:local", "engine local cannot tell what became of it"),
        ("person", "engine:local", f"`signalbox task resolve {TASK} --retry --reason WHY`"),
        ("person", "", "a person has to decide"),
        ("previous_plan", "plan:0195-other", "`signalbox plan show 0195-other`"),
    ],
)
def test_the_sentence_names_the_holder_and_the_remedy(reason: str, holder: str, words: str) -> None:
    assert words in describe(reason, holder)


@pytest.mark.parametrize(
    ("holder", "detail"), [("user:ann", "a look first"), (f"plan:{PLAN}", "paused by user:ann: a look first")]
)
def test_who_paused_a_plan_is_worded_alike_by_the_planner_and_the_executor(holder: str, detail: str) -> None:
    assert f"plan {PLAN} is paused by user:ann: a look first, since" in describe("plan_paused", holder, detail)


@pytest.mark.parametrize("reason", list(WaitReason))
@pytest.mark.parametrize("holder", ["engine:local", "plan:0195-other", ""])
def test_every_command_in_a_sentence_is_one_the_command_line_understands(reason: WaitReason, holder: str) -> None:
    commands = dict(reference.commands())
    for words in re.findall("`signalbox ([^`]*)`", describe(reason.value, holder, "some detail")):
        given = words.replace(" N", " 7").split()
        name = " ".join(given[:2]) if " ".join(given[:2]) in commands else given[0]
        commands[name].make_context(name, given[len(name.split()) :])  # raises for an option that is not there


def test_a_time_is_shown_where_there_is_one() -> None:
    until = "2026-03-29T02:00:00Z"
    assert f"does not start before at {until}" not in describe("retry_delay", until=until)
    for reason in ("retry_delay", "start_rate", "breaker_open"):
        assert until in describe(reason, "engine:local", until=until)


def test_a_reason_of_a_newer_executor_gets_a_sentence_with_its_own_words() -> None:
    answer = wait_reasons.describe(
        {"why": "moon_phase", "holder": "engine:moon", "since_at": SINCE, "detail": "not full"}, plan=PLAN, engine="x"
    )
    assert answer["why"] == "moon_phase"
    assert "waits for moon (not full)" in answer["sentence"]


def test_many_tasks_with_one_reason_are_counted() -> None:
    waiting = {"why": "plan_limit", "holder": "plan", "since_at": SINCE}
    answer = wait_reasons.describe(waiting, plan=PLAN, engine="local", tasks=200)
    assert answer["tasks"] == 200
    assert answer["sentence"].startswith("200 tasks: ")


def test_a_plan_nobody_planned_says_that_the_planner_is_silent() -> None:
    answer = wait_reasons.planner_silent(PLAN, SINCE, ": it has no member in its consumer group")
    assert "the planner has not answered since 2026-03-29T01:30:00Z: it has no member" in answer["sentence"]
