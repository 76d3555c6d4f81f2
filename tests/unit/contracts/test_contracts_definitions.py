"""Definitions validate themselves: every error names the field, the value and what is allowed."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from signalbox_contracts.definitions import KINDS, AnyDefinition, InvalidDefinition, graph, read, secret_refs, trigger
from signalbox_contracts.definitions.params import InvalidParams, Param, bind
from signalbox_contracts.definitions.schedule import EventDate
from signalbox_contracts.definitions.trigger import Match, pattern_matches
from signalbox_contracts.samples import definitions

SCRIPTED = {"kind": "scripted"}
STEP = {"work": SCRIPTED}


def made(kind: str, **changes: Any) -> Any:
    """A good definition of this kind with changes, read as a person would write it."""
    good: dict[str, Any] = {
        "engine": definitions.engines()[0],
        "job": definitions.job(),
        "pipeline": definitions.pipeline(),
        "schedule": definitions.schedule(),
        "trigger": definitions.trigger(),
        "channel": definitions.channels()[0],
        "subscription": definitions.subscription(),
        "freeze": definitions.freeze(),
        "move": definitions.move(),
    }
    return read(TypeAdapter(AnyDefinition), {**good[kind].model_dump(mode="json", exclude_none=True), **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_reads_what_it_wrote(kind: str) -> None:
    definition = made(kind)
    assert definition.kind == kind
    assert definition.project == "default"
    assert type(definition).model_validate_json(definition.model_dump_json()) == definition


def steps(*given: dict[str, Any]) -> dict[str, Any]:
    return {"steps": [{**STEP, **step} for step in given]}


def templated(text: str) -> dict[str, Any]:
    return {"work": {"kind": "process", "argv": [text]}}


CYCLE = steps({"id": "a", "depends_on": ["c"]}, {"id": "b", "depends_on": ["a"]}, {"id": "c", "depends_on": ["b"]})
LATER = steps({"id": "a", **templated("{{ steps.b.result }}")}, {"id": "b", "depends_on": ["a"]})


@pytest.mark.parametrize(
    ("kind", "changes", "field", "shows"),
    [
        ("job", {"id": "a b"}, "id", "'a b'"),
        ("job", {"id": "a:b"}, "id", "pattern"),
        ("job", {"colour": "red"}, "colour", "not permitted"),
        ("job", {"work": {"kind": "teapot"}}, "work", "'process', 'flink', 'spark'"),
        ("job", {"work": {"kind": "process", "argv": []}}, "argv", "at least 1"),
        ("job", {"work": {"kind": "process", "argv": ["x"], "shell": True}}, "shell", "not permitted"),
        (
            "job",
            {"work": {"kind": "process", "argv": ["{{ params.hour }}"]}},
            "job",
            "work.argv.0: line 1: parameter 'hour'",
        ),
        ("job", {"work": {"kind": "oozie", "mode": "rerun"}}, "work", "target is missing"),
        ("job", {"retries": {"max_attempts": 0}}, "max_attempts", "greater than or equal to 1"),
        ("job", {"retries": {"delay_seconds": 9, "max_delay_seconds": 1}}, "retries", "max_delay_seconds 1 must be"),
        ("job", {"params": {"n": {"type": "integer", "default": "x"}}}, "params", "'x' is not allowed: an integer is"),
        ("job", {"priority": 101}, "priority", "101"),
        ("engine", {"connection": {"kind": "flink", "url": "ftp://x"}}, "url", "'ftp://x'"),
        (
            "engine",
            {"connection": {"kind": "airflow", "url": "http://x", "access": {"password": "p"}}},
            "password",
            "secret",
        ),
        ("engine", {"on_unknown": "shrug"}, "on_unknown", "'hold', 'fail' or 'retry'"),
        ("engine", {"limits": {"concurrency": -1}}, "concurrency", "-1"),
        ("pipeline", {"steps": []}, "steps", "at least 1"),
        ("pipeline", CYCLE, "steps.0.depends_on", "steps wait for each other: "),
        ("pipeline", LATER, "steps.0.work.argv", "step 'b' is not one this step waits for: it waits for none"),
        ("pipeline", steps({"id": "a", "depends_on": ["nope"]}), "steps.0.depends_on.0", "'a' depends on 'nope'"),
        ("pipeline", steps({"id": "a"}, {"id": "a"}), "steps.1.id", "'a' is used more than once"),
        ("pipeline", steps({"id": "my-step"}), "id", "my-step"),
        ("pipeline", steps({"id": "a", "depends_on": [{"step": "a", "when": "x"}]}), "when", "'on_success'"),
        ("pipeline", steps({"id": "a", "compensates": "z"}), "steps.0.compensates", "compensates 'z'"),
        ("pipeline", steps({"id": "a", "matrix": {"x": [1] * 999, "y": [1] * 999}}), "steps.0.matrix", "at most 10000"),
        ("schedule", {"cron": "61 * * * *"}, "cron", "61"),
        ("schedule", {"zone": "Mars/Olympus"}, "zone", "IANA"),
        ("schedule", {"overlap": "maybe"}, "overlap", "cancel_previous"),
        ("schedule", {"missed": {"policy": "all", "max": 0}}, "max", "0"),
        ("schedule", {"starts_at": "2026-01-02T00:00Z", "ends_at": "2026-01-01T00:00Z"}, "schedule", "must be after"),
        ("trigger", {"match": {"condition": "é" * 513}}, "condition", "1026 bytes"),
        ("trigger", {"mapping": {"a": "data.x"}}, "mapping", "pattern"),
        ("channel", {"destination": {"kind": "slack"}}, "destination", "exactly one"),
        ("channel", {"destination": {"kind": "email", "to": ["nobody"]}}, "to", "nobody"),
        ("channel", {"fallback": "to-slack"}, "channel", "is the channel itself"),
        ("move", {"dag_id": "../x"}, "dag_id", "'../x'"),
        ("move", {"conf": {"signalbox": 1}}, "conf.signalbox", "is not allowed"),
        ("move", {"conf": {"day": 1}}, "nominal_time_key", "'day' has a value in conf already"),
        ("move", {"conf": {"x": ["{{ run.id }}"]}}, "conf.x.0", "a template or a secret"),
        ("move", {"conf": {"x": "secret://s"}}, "conf.x", "a template or a secret"),
        ("move", {"conf": {"x": "y" * 9000}}, "conf", "at most 8192 are allowed"),
        ("move", {"dag_id": "d" * 230}, "dag_id", "at most 230 are allowed"),
        ("move", {"moved_at": "2026-04-01"}, "moved_at", "should have timezone info"),
        ("freeze", {"mode": "melt"}, "mode", "'hold' or 'drain'"),
        ("freeze", {"calendar": [{"cron": "x", "duration_seconds": 1}]}, "cron", "'x'"),
    ],
)
def test_what_is_wrong_is_named_with_its_field_and_value(
    kind: str, changes: dict[str, Any], field: str, shows: str
) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        made(kind, **changes)
    assert any(field in problem.field for problem in refused.value.problems)
    assert shows in str(refused.value)


def test_a_password_typed_in_the_clear_is_refused_and_not_repeated() -> None:
    connection = {"kind": "airflow", "url": "http://x", "access": {"method": "basic", "password": "hunter2"}}
    with pytest.raises(InvalidDefinition) as refused:
        made("engine", connection=connection)
    assert "hunter2" not in str(refused.value)


def test_a_cycle_is_named_in_the_order_in_which_it_waits() -> None:
    with pytest.raises(graph.InvalidGraph) as refused:
        graph.order({"a": ["b"], "b": ["c"], "c": ["a"], "d": []})
    named = str(refused.value).split(": ")[1].split(" → ")
    assert named[0] == named[-1]
    assert set(named) == {"a", "b", "c"}
    waits = {"a": "b", "b": "c", "c": "a"}
    assert all(waits[one] == other for one, other in pairwise(named))


@given(
    st.integers(2, 12).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
)
def test_a_graph_has_an_order_exactly_when_no_step_lies_upstream_of_itself(pairs: list[tuple[int, int]]) -> None:
    edges: dict[str, list[str]] = {str(number): [] for number in range(12)}
    for step, other in pairs:
        edges[str(step)].append(str(other))
    reach = {step: set(near) for step, near in edges.items()}
    for _ in edges:
        reach = {step: near.union(*(reach[other] for other in near)) for step, near in reach.items()}
    cyclic = any(step in near for step, near in reach.items())
    if cyclic:
        with pytest.raises(graph.InvalidGraph):
            graph.order(edges)
        return
    placed = graph.order(edges)
    assert all(placed.index(other) < placed.index(step) for step, near in edges.items() for other in near)
    assert graph.upstream(edges) == reach


def test_a_long_chain_of_steps_is_no_deeper_for_us_than_a_short_one() -> None:
    chain = {str(number): [str(number - 1)] if number else [] for number in range(1500)}
    assert len(graph.upstream(chain)["1499"]) == 1499


def test_a_matrix_expands_to_every_combination() -> None:
    rank = made("pipeline").step("rank")
    assert list(rank.combinations()) == [{"part": "a"}, {"part": "b"}]
    assert list(made("pipeline").step("load").combinations()) == [{}]


def test_a_dependency_written_as_a_word_means_on_success() -> None:
    assert made("pipeline").step("serve").depends_on[0].when == "on_success"


def test_secret_references_are_found_anywhere_in_a_definition() -> None:
    work = {
        "kind": "process",
        "argv": ["x"],
        "environment": {"T": "bearer secret://api.token", "P": "secret://db-pass."},
    }
    assert secret_refs(made("job", work=work)) == {"api.token", "db-pass"}
    assert secret_refs({"secret://a": [("secret://b",), None, 3]}) == {"a", "b"}
    assert secret_refs(made("schedule")) == frozenset()


def test_given_parameters_win_over_defaults() -> None:
    declared = {"day": Param(type="date", default="2026-01-01"), "n": Param(type="integer", required=True)}
    assert bind(declared, {"n": 2}) == {"day": "2026-01-01", "n": 2}


@pytest.mark.parametrize(
    ("given", "shows"),
    [
        ({}, "n is missing: an integer is required"),
        ({"n": True}, "n: True is not allowed"),
        ({"n": 1, "day": "tomorrow"}, "day: 'tomorrow' is not allowed: a date of the form 2026-03-31 is"),
        ({"n": 1, "day": "20260331"}, "day: '20260331' is not allowed: a date of the form 2026-03-31 is"),
        ({"n": 1, "day": "2026-W14-2"}, "day: '2026-W14-2' is not allowed: a date of the form 2026-03-31 is"),
        ({"n": 1, "mode": "c"}, "mode: 'c' is not allowed: one of 'a', 'b' is"),
        ({"n": 1, "x": 1}, "x is not a parameter: day, n, mode allowed"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given: dict[str, Any], shows: str) -> None:
    declared = {
        "day": Param(type="date"),
        "n": Param(type="integer", required=True),
        "mode": Param(choices=("a", "b")),
    }
    with pytest.raises(InvalidParams) as refused:
        bind(declared, given)
    assert shows in str(refused.value)


def test_the_event_date_is_yesterday_of_the_intended_instant_in_its_zone() -> None:
    midnight = datetime(2026, 3, 29, 23, 30, tzinfo=UTC)
    assert EventDate().of(midnight) == date(2026, 3, 28)
    assert EventDate(zone="Europe/Prague").of(midnight) == date(2026, 3, 29)
    assert EventDate(offset_days=0).of(midnight) == date(2026, 3, 29)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (Match(), True),
        (Match(types=("com.example.*",)), True),
        (Match(types=("com.*.created", "x")), True),
        (Match(types=("com.example",)), False),
        (Match(types=("com?example.file.created",)), False),
        (Match(sources=("/stores/*",), subjects=("/in/*",)), True),
        (Match(sources=("/stores/*",), subjects=("/out/*",)), False),
    ],
)
def test_attributes_match_by_patterns(match: Match, matches: bool) -> None:
    requested = {"type": "com.example.file.created", "source": "/stores/eu", "subject": "/in/a\nb"}
    assert match.attributes_match(**requested) is matches


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*ab*ab", "ab", False),
        ("*ab*ab*", "xabyab", True),
        ("*", "", True),
        ("a.b", "axb", False),
        ("*a" * 30 + "*b", "a" * 1000, False),
    ],
)
def test_a_pattern_of_many_stars_is_judged_in_a_moment(pattern: str, value: str, matches: bool) -> None:
    """The last one took longer than anybody waits, and the planner reads no other event meanwhile."""
    assert pattern_matches(pattern, value) is matches


def test_patterns_that_clients_choose_fill_no_memory() -> None:
    """Each subscription to the live feed may bring fifty new ones, and every one was kept for ever."""
    for number in range(5000):
        pattern_matches(f"workflow.*{number}", "workflow.failed")
    assert trigger._regex.cache_info().currsize < 5000  # pyright: ignore[reportPrivateUsage]
