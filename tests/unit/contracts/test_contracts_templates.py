"""Templates: what they may say, what is refused when saving, and that rendering stays small."""

import sys
import tracemalloc
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.template import InvalidTemplate, check_template, render, render_all
from support.proofs import proves

VALUES: dict[str, Any] = {
    "params": {"day": "2026-03-28", "parts": ["a", "b"], "n": 3},
    "steps": {"load": {"result": {"rows": 12}}},
    "event_date": "2026-03-28",
    "run": {"id": "r1", "attempt": 1},
}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("{{ event_date }}", "2026-03-28"),
        ("--day={{ params.day }} --rows={{ steps.load.result.rows }}", "--day=2026-03-28 --rows=12"),
        ("{{ params['day'] | replace('-', '') }}", "20260328"),
        ("{{ params.parts | join(',') }}", "a,b"),
        ("{{ 'many' if params.n > 2 else 'few' }}", "many"),
        ("${#list} {# kept #} {% kept %}", "${#list} {# kept #} {% kept %}"),
        ("${#list} {# kept #} {% kept %} {{ event_date }}", "${#list} {# kept #} {% kept %} 2026-03-28"),
        ("{{ run.id }}-{{ run.attempt + 1 }}\n", "r1-2\n"),
        ("{{ params.nothing | default('x') }}", "x"),
    ],
)
def test_a_template_is_rendered(text: str, rendered: str) -> None:
    assert render(text, VALUES) == rendered


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ params.get('x') }}", "calls"),
        ("{{ range(10) }}", "calls"),
        ("{{ 'x' * 1000000000 }}", "multiplication"),
        ("{{ 9 ** 9 ** 9 }}", "powers"),
        ("{{ '%999999999d' % 1 }}", "%"),
        ("{{ ().__class__ }}", "'__class__' is not allowed"),
        ("{{ params['__init__'] }}", "'__init__' is not allowed"),
        ("{{ 'x' | center(1000000000) }}", "filter 'center'"),
        ("{{ secrets }}", "'secrets' is not known"),
        ("{{ self }}", "'self' is not known"),
        ("{{ params", "line 1"),
        ("\n\n{{ nope }}", "line 3"),
        ("{{ steps.load.state }}", "steps.<id>.result"),
        ("{{ steps }}", "steps.<id>.result"),
        ("{{ steps['later'].result }}", "'later'"),
        ("{{ steps.later.result }}", "'later'"),
        ("{{ params.dya }}", "'dya' is not declared: allowed are day"),
        ("x" * 20_000, "characters"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested|line"),
    ],
)
def test_what_is_not_allowed_is_refused_when_saving(text: str, why: str) -> None:
    with pytest.raises(InvalidTemplate, match=why.replace("*", r"\*")):
        check_template(text, params=frozenset({"day"}), steps=frozenset({"load"}))


@pytest.mark.parametrize(
    "text",
    [
        "{{ params.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ params['__class__'] }}",
        "{{ params.parts.append }}",
        "{{ params.absent }}",
        "{{ steps.load.result.absent }}",
        "{{ params.n + 'x' }}",
        "{{ params.n / 0 }}",
    ],
)
def test_what_cannot_be_rendered_safely_is_refused_and_never_escapes(text: str) -> None:
    try:
        rendered = render(text, VALUES)
    except InvalidTemplate:
        return
    assert "class '" not in rendered
    assert "object at" not in rendered or "built-in method" in rendered


def test_a_large_result_is_refused() -> None:
    with pytest.raises(InvalidTemplate, match="more than"):
        render("{{ params.x }}{{ params.x }}", {"params": {"x": "y" * 40_000}})


@pytest.mark.parametrize(
    "text",
    [
        "{{ '" + "a" * 900 + "'" + (" | replace('a', '" + "a" * 900 + "')") * 12 + " }}",
        "{{ params.many | join('" + "-" * 9000 + "') }}",
    ],
)
def test_a_filter_that_multiplies_text_is_stopped_before_it_fills_the_memory(text: str) -> None:
    with pytest.raises(InvalidTemplate, match="more than"):
        render(text, {"params": {"many": list(range(10_000))}})


def nested_texts(depth: int) -> str:
    """A text of a list of a text of a list …: each text doubles the backslashes of the one before."""
    return "params.quotes" if depth == 0 else f"[{nested_texts(depth - 1)}] | string"


@proves("contracts.definitions.template: a text of more than")
@pytest.mark.parametrize(
    "expression",
    [
        " ~ ".join(["params.long"] * 40),
        " + ".join(["params.long"] * 40),
        f"[{', '.join(['params.long'] * 40)}]",
        f"[{', '.join(['params.long'] * 40)}] | upper",
        f"[{', '.join(['params.long'] * 40)}] | replace('y', '')",
        f"[[{', '.join(['params.long'] * 40)}]] | join",
        "params.quotes" + " | tojson" * 24,
        nested_texts(22),
        "params.percents" + " | urlencode" * 60,
        f"[{', '.join(['params.many | sort'] * 200)}] | length",
        f"[{', '.join(['params.many[1:]'] * 200)}] | length",
        f"[{', '.join(['params.long[1:]'] * 40)}] | length",
    ],
)
def test_a_template_takes_no_more_memory_than_a_text_may_have(expression: str) -> None:
    """The size was measured once the text was made: 30 times `tojson` in a row is a gigabyte, 40 times is none left."""
    params = {"long": "y" * 500_000, "quotes": "'\"\\", "percents": "%" * 60_000, "many": list(range(15_000))}
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTemplate, match=r"more than|makes a list of"):
            render(f"{{{{ {expression} }}}}", {"params": params})
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_texts_lists_and_numbers_are_joined_and_added_as_before() -> None:
    assert render("{{ run.id ~ '/' ~ (params.n + 1) ~ params.parts }}", VALUES) == "r1/4['a', 'b']"
    assert render("{{ (params.parts + ['c']) | sort | join }}{{ 'x' + 'y' }}", VALUES) == "abcxy"
    assert render("{{ params.day[:4] }}{{ params.day[-2:] }}{{ params.parts[::-1] | join }}", VALUES) == "202628ba"
    assert render("{{ params.long | length }}", {"params": {"long": "y" * 500_000}}) == "500000"


def test_json_is_written_as_it_is() -> None:
    assert render("{{ params.parts | tojson }}", VALUES) == '["a", "b"]'


def test_every_text_of_a_value_is_rendered_and_nothing_else() -> None:
    value = {"a": ["{{ event_date }}", 1, None, {"{{ run.id }}": "{{ run.id }}"}]}
    assert render_all(value, VALUES) == {"a": ["2026-03-28", 1, None, {"{{ run.id }}": "r1"}]}


@given(st.text(alphabet="{}%#abps.|'()[]_ 1*+-~:", max_size=60))
def test_any_text_is_either_rendered_or_refused(text: str) -> None:
    try:
        assert len(render(text, VALUES)) < 10_000
    except InvalidTemplate as refusal:
        message = str(refusal)
    else:
        message = ""
    assert len(message) < 1000


@pytest.mark.parametrize("text", ["{{ params.x }}", "see {{ params.x }}", "{{ params.x | upper | lower }}"])
def test_a_value_brings_no_secret_that_the_definition_does_not_name(text: str) -> None:
    """Without it whoever may start a job reads any secret of its project, and nobody sees that it is in use."""
    with pytest.raises(InvalidTemplate, match="only the definition itself"):
        render(text, {"params": {"x": "secret://vault"}})
    with pytest.raises(InvalidTemplate, match="only the definition itself"):
        render("secret://{{ params.x }}", {"params": {"x": "vault"}})
    with pytest.raises(InvalidTemplate, match="only the definition itself"):
        render("secret://db{{ params.x }}", {"params": {"x": "2"}})
    assert render("secret://db/{{ params.x }}", {"params": {"x": "host"}}) == "secret://db/host"


@pytest.mark.parametrize("work", [
    {"kind": "process", "argv": ["/bin/x", "secret://db"]},
    {"kind": "process", "argv": ["/bin/x"], "working_directory": "/secret://db"},
    {"kind": "scripted", "script": {"log": "secret://db"}},
])  # fmt: skip
def test_a_secret_where_others_would_see_it_is_refused_when_it_is_saved(work: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a secret may stand only"):
        Job.model_validate({"id": "j", "name": "j", "work": work})
    Job.model_validate({"id": "j", "name": "j", "work": {
        "kind": "process", "argv": ["/bin/x"], "environment": {"P": "secret://db"}}})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ 1|round(999999999, 'floor') }}", "at most 308"),
        ("{{ 1|round(params.n, 'ceil') }}", "at most 308"),
        ("{{ 1e400|int }}", "too large"),
        ("{{ (1e308 + 1e308)|int }}", "infinity"),
        ("{{ " + "1+" * 3000 + "1 }}", "nested"),
        ("{{ params.n" + "|abs" * 300 + " }}", "nested"),
        ("{{ params" + ".n" * 3000 + " }}", "nested"),
    ],
)
def test_a_template_that_python_cannot_compute_is_refused_at_once(text: str, why: str) -> None:
    """10 to the power of a precision never ends; the others left `render` as errors that nobody expects of it."""
    with pytest.raises(InvalidTemplate, match=why):
        render(text, {"params": {"n": 10**9}})


def test_a_long_chain_of_filters_is_compiled_in_few_calls() -> None:
    """Jinja's optimizer makes 40 million calls for it: 1,200 characters would keep the gateway busy for 25 s."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += 1
        assert calls < 1_000_000

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with pytest.raises(InvalidTemplate, match="nested"):
            render("{{ params.n" + "|abs" * 299 + " }}", {"params": {"n": 1}})
    finally:
        sys.setprofile(before)
