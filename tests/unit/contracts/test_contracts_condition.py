"""Conditions of triggers: what holds, what is refused, what is too dear."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox_contracts.definitions.condition import (
    ConditionFailed,
    InvalidCondition,
    compile_condition,
)

EVENT: dict[str, Any] = {"type": "file.created", "data": {"size": 11, "name": "a.gz", "tags": ["x", "y"]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.size > 10", True),
        ("data.size > 10 && event.type.startsWith('file.')", True),
        ("event.data.size > 10 && event.data.name.endsWith('.csv')", False),
        ("event.data.tags.exists(t, t == 'y')", True),
        ("has(event.data.owner) && event.data.owner == 'ann'", False),
        ("event.data.name.matches('^(a+)+$')", False),
        ("'in.all(x, y)' == event.data.name", False),
    ],
)
def test_a_condition_holds_or_not(text: str, expected: bool) -> None:
    assert compile_condition(text).holds(EVENT) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1 +", "is not CEL"),
        ("", "is not CEL"),
        ("other.size > 1", "names other: only `event` and `data` are known"),
        ("'" + "a" * 1023 + "'", "has 1025 bytes: a condition has at most 1024"),
        ("event.a.all(a, a.all(b, b.all(c, c.all(d, d))))", "4 deep: at most 10, 3 deep"),
        ("[" * 500, "is not CEL"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(InvalidCondition, match=problem.replace("(", r"\(")):
        compile_condition(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("event.data.owner == 'ann'", "KeyError"),
        ("event.data.size + 'a' == 'b'", "TypeError"),
        ("event.data.size", "true or false is allowed"),
        ("event.data.list.all(a, event.data.list.all(b, a + b >= 0))", "would visit up to 20000 elements"),
    ],
)
def test_an_event_the_condition_cannot_judge_does_not_match_and_says_why(text: str, problem: str) -> None:
    event = {**EVENT, "data": {**EVENT["data"], "list": list(range(100))}}
    with pytest.raises(ConditionFailed, match=problem):
        compile_condition(text).holds(event)


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(InvalidCondition, ConditionFailed):
        compile_condition(text).holds(EVENT)


@pytest.mark.parametrize(
    "text",
    [
        "{0}.all(a, {0}.all(b, {0}.all(c, true)))".format("(" + "+".join(["data.tags"] * 30) + ")"),
        "[data.tags + data.tags + data.tags + data.tags][0].all(a, data.tags.all(b, data.tags.all(c, a + b != c)))",
        "{'x': data.tags + data.tags + data.tags + data.tags}. x.all(a, data.tags.all(b, data.tags.all(c, true)))",
    ],
)
def test_lists_that_a_condition_appends_to_each_other_count_towards_its_cost(text: str) -> None:
    """Thirty lists in each of three nested macros took a minute, in which the planner did nothing else."""
    with pytest.raises(ConditionFailed, match="would visit up to"):
        compile_condition(text).holds({"data": {"tags": ["a"] * 9}})


@pytest.mark.parametrize(
    "text",
    [
        'true // "\n && {0} // "',
        r"""r"\".size() == 1 && {0} && r"\".size() == 1""",
        '"""\\"""" != "" && {0} && """\\"""" != ""',
        "true && data.// the first\ntags.// of three\nall(event, true) && {0}",
        r"""'\\' != "" && {0} && '\\' != "" """,
    ],
)
def test_macros_between_quotes_of_comments_and_raw_texts_count_towards_its_cost(text: str) -> None:
    """What was taken for a text had no cost: a list of 1,000 entries would hold the planner for days."""
    nested = "data.tags.all(event, data.tags.all(event, data.tags.all(data, true)))"
    condition = compile_condition(text.replace("{0}", nested))
    assert condition.macros >= 3
    with pytest.raises(ConditionFailed, match="would visit up to"):
        condition.holds({"data": {"tags": ["a"] * 60}})


def test_a_sum_inside_a_macro_costs_no_more_than_its_elements() -> None:
    """Over a plain path nothing is appended: half of what is allowed must not become too dear."""
    event = {"data": {"rows": [{"a": n, "b": n} for n in range(2000)]}}
    assert compile_condition("data.rows.exists(r, r.a + r.b == 10)").holds(event)
    assert compile_condition("event.data['rows'].exists(r, r.a + r.b == 10)").holds({**event})
