"""Pipelines in files, and their drawings."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalbox_client.api import Refused
from signalbox_client.drawings import graph_lines, timeline_lines
from signalbox_client.pipeline_files import checked, problems_of
from signalbox_client.yaml_files import InvalidFile, read_documents

GOOD = """\
id: daily
name: Daily
steps:
  - id: load
    work: {kind: process, argv: [load]}
  - id: rank
    depends_on: [load]
    work: {kind: process, argv: [rank, "{{ steps.load.result.rows }}"]}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "daily.yaml"
    path.write_text(text)
    return str(path)


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    documents, problems = checked([str(tmp_path)])
    assert not problems
    assert [one.value["id"] for one in documents] == ["daily"]


RANK = "steps.1"
ARGUMENT = f"{RANK}.work.argv.1"
TWENTY_TWO = str(list(range(22)))
TEMPLATE = "{{ steps.load.result.rows }}"
DEEP = "[" * 70 + "]" * 70


@pytest.mark.parametrize(
    ("before", "after", "place", "step", "field", "words"),
    [
        ("argv: [load]", "argv: []", "5:33", "load", "steps.0.work.process.argv", "at least 1"),
        ("depends_on: [load]", "depends_on: [lost]", "7:18", "rank", f"{RANK}.depends_on.0", "allowed are load"),
        ("- id: load", "- id: load\n    depends_on: [rank]", "5:17", "load", "steps.0.depends_on", "load → rank"),
        ("- id: rank", "- id: load", "6:9", "load", f"{RANK}.id", "used more than once"),
        (".load.result", ".lost.result", "8:40", "rank", ARGUMENT, "'lost' is not one this step waits"),
        (TEMPLATE, "{{ params.hour }}", "8:40", "rank", ARGUMENT, "'hour' is not declared"),
        (TEMPLATE, "{{ range(9) }}", "8:40", "rank", ARGUMENT, "calls are not allowed"),
        (TEMPLATE, "{{ 'x' * 999 }}", "8:40", "rank", ARGUMENT, "multiplication is not"),
        (TEMPLATE, "{{ params. ", "8:40", "rank", ARGUMENT, "expected"),
        ("name: Daily", "environment: {MODE: '{{ params.m }}'}", "2:21", "", "environment", "not declared"),
        (
            "depends_on: [load]", f"matrix: {{a: {TWENTY_TWO}, b: {TWENTY_TWO}, c: {TWENTY_TWO}}}",
            "7:13", "rank", f"{RANK}.matrix", "10648 tasks",
        ),
        ("depends_on: [load]", "compensates: lost", "7:18", "rank", f"{RANK}.compensates", "'lost'"),
        ("name: Daily", "params: {n: {type: integer, default: x}}", "2:13", "", "params.n", "an integer is"),
        ("name: Daily", "id: again", "2:1", "", "id", "key 'id' is there twice"),
        ("depends_on: [load]", "id: load", "7:5", "rank", f"{RANK}.id", "key 'id' is there twice"),
        ("name: Daily", "name: [Daily", "3:", "", "", ""),
        ("name: Daily", "nam: Daily", "2:6", "", "nam", "not permitted"),
        ("name: Daily", "name: .inf", "2:7", "", "name", "not a number of JSON"),
        ("name: Daily", f"name: {DEEP}", "2:71", "", "", "64 levels"),
    ],
)  # fmt: skip
def test_a_problem_names_file_line_column_step_and_field(
    tmp_path: Path, before: str, after: str, place: str, step: str, field: str, words: str
) -> None:
    file = written(tmp_path, GOOD.replace(before, after))
    _, problems = checked([file])
    assert len(problems) == 1, problems
    assert problems[0]["place"].startswith(f"{file}:{place}"), problems
    assert problems[0]["step"] == step
    assert problems[0]["field"].startswith(field), problems
    assert words in problems[0]["problem"]


def test_every_problem_of_every_file_is_reported(tmp_path: Path) -> None:
    written(tmp_path, GOOD.replace("argv: [rank,", "argv: ['{{ params.a }}', '{{ params.b }}',"))
    (tmp_path / "other.yaml").write_text("a: &a [*a]")
    (tmp_path / "third.yaml").write_text("id: third\nid: third")
    _, problems = checked([str(tmp_path)])
    files = [problem["place"].removeprefix(f"{tmp_path}/").partition(":")[0] for problem in problems]
    assert sorted(files) == ["daily.yaml", "daily.yaml", "other.yaml", "third.yaml"]


def test_a_file_of_six_hundred_levels_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"daily.yaml:1:67: .*64 levels"):
        read_documents(written(tmp_path, f"a: {'[' * 600}{']' * 600}"))


def test_plain_words_have_the_types_of_yaml_1_2(tmp_path: Path) -> None:
    text = "a: [no, on, 2026-03-31, 012, 0x1f, 1e3, 12:30, true, null, ~]\nb: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}"
    (document,) = read_documents(written(tmp_path, text))
    assert document.value["a"] == ["no", "on", "2026-03-31", 12, 31, 1000.0, "12:30", True, None, None]
    assert document.value["c"] == {"x": 1, "y": 3}


def test_what_the_server_refuses_has_its_place_in_the_file(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    documents, _ = checked([str(tmp_path)])
    error = {"field": "pipelines.0.steps.1.engine", "value": "'lost'", "allowed": "is not an engine"}
    (problem,) = problems_of(documents, Refused(422, {"errors": [error]}))
    assert problem["place"].endswith("daily.yaml:6:5")
    assert (problem["step"], problem["field"]) == ("rank", "steps.1.engine")
    assert problem["problem"] == "'lost': is not an engine"
    with pytest.raises(Refused):
        problems_of(documents, Refused(403, {"errors": []}))


def test_anchors_that_explode_or_contain_themselves_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(InvalidFile, match="anchors repeat too much"):
        read_documents(written(tmp_path, "\n".join(lines)))
    with pytest.raises(InvalidFile, match="contains itself"):
        read_documents(written(tmp_path, "a: &a [*a]"))


def test_the_graph_shows_what_each_step_waits_for_and_its_state() -> None:
    lines = list(
        graph_lines(
            [
                {"id": "b", "depends_on": ["a"], "state": "SKIPPED", "reason": "step 'a' is FAILED"},
                {"id": "a", "depends_on": [], "state": "FAILED", "counts": {"total": 3}},
                {"id": "undo", "compensates": "a", "state": "WAITING"},
            ]
        )
    )
    assert lines == [
        "✗ a (3 tasks)  FAILED", "  ○ b  ← a  SKIPPED  step 'a' is FAILED", "· undo  undoes a  WAITING"
    ]  # fmt: skip


def test_the_timeline_puts_every_step_on_the_time_of_the_plan() -> None:
    step = {"state": "SUCCEEDED", "started_at": "2026-01-01T00:00:00+00:00", "ended_at": "2026-01-01T00:00:10+00:00"}
    later = {**step, "started_at": step["ended_at"], "ended_at": "2026-01-01T00:00:20+00:00"}
    plan = {"steps": [{"id": "a", **step}, {"id": "b", **later}]}
    began, first, second, total = timeline_lines(plan, datetime.now(UTC))
    assert "2026-01-01T00:00:00" in began
    assert first.index("█") < second.index("█")
    assert second.endswith("|   10.000    10.000 s")
    assert total.endswith("20.000 s")
    *_, total = timeline_lines(
        {**plan, "started_at": "2025-12-31T23:59:59Z", "ended_at": later["ended_at"]}, datetime.now(UTC)
    )
    assert total.endswith("21.000 s"), "of the plan, not of its steps"


def test_a_step_that_runs_takes_no_time_where_the_clock_is_behind() -> None:
    """It was shown with minus a year."""
    plan = {"steps": [{"id": "a", "state": "RUNNING", "started_at": "2026-01-01T00:00:00Z"}]}
    _, line, _ = timeline_lines(plan, datetime(2025, 1, 1, tzinfo=UTC))
    assert line.endswith("    0.000     0.000 s")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("id: a\nname: b\x00c\n", "2:8", "the character U+0000 is not allowed"),
        ("id: a\nname: !foo x\n", "2:7", "could not determine a constructor for the tag '!foo'"),
        (f"id: a\nname: {'9' * 5000}\n", "2:7", "is not what its tag says"),
    ],
)
def test_what_no_reader_takes_is_one_line_with_its_place(tmp_path: Path, text: str, place: str, words: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        read_documents(written(tmp_path, text))
    assert str(caught.value).splitlines() == [str(caught.value)]
    assert f"daily.yaml:{place}: " in str(caught.value)
    assert words in str(caught.value)


def test_json_as_programs_write_it_is_read(tmp_path: Path) -> None:
    """Tabs and escaped emojis are valid JSON, and no YAML for PyYAML."""
    value = {"id": "a", "name": "\U0001f680 \\ud83d", "steps": [{"id": "b", "tab": "\t"}]}
    (document,) = read_documents(written(tmp_path, json.dumps(value, indent="\t")))
    assert document.value == value
    assert document.place("steps.0.tab").endswith(":7:11")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!binary aGk=", "bytes is not allowed"),
        ("!!timestamp 2026-01-31", "date is not allowed"),
        ("!!bool maybe", "'maybe' is not what its tag says"),
        ("!!timestamp abc", "'abc' is not what its tag says"),
        ("!!float ''", "'' is not what its tag says"),
        ("!!map x", "dict is not allowed"),
    ],
)
def test_a_value_that_json_does_not_have_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """Without it `validate` calls the file valid, and `apply` ends with a traceback."""
    with pytest.raises(InvalidFile, match=words) as caught:
        read_documents(written(tmp_path, f"id: a\nname: {text}\n"))
    assert "daily.yaml:2:7: " in str(caught.value)
    assert caught.value.field == "name"
