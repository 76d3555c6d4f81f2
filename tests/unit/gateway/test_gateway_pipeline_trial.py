"""Templates of a pipeline are tried before it starts: each way in which one would fail its step later is refused."""

import asyncio
from typing import Any

import pytest

from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_gateway import pipeline_trial
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.pipeline_trial import MAX_TRIED_BYTES, try_templates


def pipeline(*steps: dict[str, Any], params: tuple[str, ...] = ("n", "word"), **more: Any) -> Pipeline:
    """Steps that run a program; each is given by what is not so in all."""
    numbered = [{"id": f"s{n}", "work": {"kind": "process", "argv": ["a"]}, **step} for n, step in enumerate(steps)]
    return Pipeline.model_validate(
        {"id": "p", "name": "p", "steps": numbered, "params": {name: {"type": "json"} for name in params}, **more}
    )


def runs(*argv: str, **more: Any) -> dict[str, Any]:
    """The work of a program."""
    return {"kind": "process", "argv": list(argv), **more}


def refusal(one: Pipeline, params: dict[str, Any], **how: Any) -> Problem | None:
    try:
        asyncio.run(try_templates(one, params, **how))
    except Problem as problem:
        return problem
    return None


LINES = "{{ params.n.lines }}"
PARAMS = {"n": 7, "word": "x"}


@pytest.mark.parametrize(
    ("one", "params", "fields"),
    [
        (pipeline({"work": runs("a", LINES)}), PARAMS, ["steps.0.work.argv.1"]),
        (pipeline({}, {}, environment={"A": LINES}), PARAMS, ["environment.A"]),
        (pipeline({"work": runs("a", environment={"A": LINES})}), PARAMS, ["steps.0.work.environment.A"]),
        (pipeline({}, environment={"A": "{{ params.word }}"}), {"word": "secret://x"}, ["environment.A"]),
        (
            pipeline({"work": runs("a", "{{ 6 / params.by }}"), "matrix": {"by": [1, 2, 0]}}), {},
            ["steps.0.work.argv.1"],
        ),
        (pipeline({"work": runs("{{ params.word }}")}), {"word": "x" * 16_385}, ["steps.0.work.argv.0"]),
        (pipeline({"condition": f"{LINES}"}), PARAMS, ["steps.0.condition"]),
        (
            pipeline({}, {"work": runs(LINES, "{{ steps.s0.result.n }}"), "depends_on": ["s0"]}), PARAMS,
            ["steps.1.work.argv.0"],
        ),
    ],
)  # fmt: skip
def test_what_would_fail_a_step_is_refused_with_its_field(
    one: Pipeline, params: dict[str, Any], fields: list[str]
) -> None:
    problem = refusal(one, params)
    assert problem is not None
    assert (problem.status, [error.field for error in problem.errors]) == (422, fields)


@pytest.mark.parametrize(
    "one",
    [
        pipeline({"work": runs(LINES), "condition": "{{ params.word == 'y' }}"}),
        pipeline({}, {"condition": "{{ steps.s0.result.lines }}", "depends_on": ["s0"]}),
        pipeline({}, {"work": runs("a", "{{ steps.s0.result.lines }}"), "depends_on": ["s0"]}),
        pipeline({"work": runs("a", environment={"A": "own"})}, environment={"A": LINES}),
        pipeline({"work": {"kind": "check", "check": {"type": "http", "url": "http://x"}}}, environment={"A": LINES}),
    ],
)
def test_what_may_never_be_rendered_is_left_to_its_turn(one: Pipeline) -> None:
    """Without it a pipeline whose condition guards a template could not be run at all."""
    assert refusal(one, PARAMS) is None


def test_a_value_that_is_not_known_here_is_not_missed() -> None:
    one = pipeline({"work": runs("{{ params.word.x.y }}", LINES)}, {"work": runs("{{ params.word }}")})
    assert refusal(one, {}, all_known=False) is None
    problem = refusal(one, {"n": 7}, all_known=False)
    assert problem is not None
    assert [error.field for error in problem.errors] == ["steps.0.work.argv.1"]
    assert refusal(one, {"n": 7}, all_known=False, steps={"s1"}) is None


def test_of_ten_thousand_tasks_some_are_tried_and_other_requests_get_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them take seconds, in which nobody else would be answered."""
    text = "{{ params.a }}" * 200
    one = pipeline({"work": runs(text), "matrix": {"a": list(range(100)), "b": list(range(100))}})
    tried: list[str] = []

    def counted(template: str, values: Any) -> str:
        if template != text:
            return template
        tried.append(template)
        return "x"

    monkeypatch.setattr(pipeline_trial, "render", counted)

    async def turns() -> int:
        trial, others = asyncio.create_task(try_templates(one, {})), 0
        while not trial.done():
            others += 1
            await asyncio.sleep(0)
        await trial
        return others

    others = asyncio.run(turns())
    assert 1 < len(tried) <= 1 + MAX_TRIED_BYTES // len(text)
    assert others >= len(tried)
