"""Pipelines in files, and their drawings."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from signalbox_client.commands.pipelines import _checked  # pyright: ignore[reportPrivateUsage]
from signalbox_client.drawings import graph_lines, timeline_lines
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
    documents, problems = _checked([str(tmp_path)])
    assert not problems
    assert [one.value["id"] for one in documents] == ["daily"]


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ("kind: process, argv: [load]", "kind: process, argv: []", "5:", "argv"),
        ("depends_on: [load]", "depends_on: [lost]", "6:", "'lost'"),
        ("steps.load.result", "steps.lost.result", "6:", "step 'lost' is not one this step waits for"),
        ("name: Daily", "id: again", "2:1", "key 'id' is there twice"),
        ("name: Daily", "name: [Daily", "", ""),
        ("name: Daily", "nam: Daily", "2:", "nam"),
    ],
)
def test_a_problem_names_file_line_and_column(
    tmp_path: Path, before: str, after: str, place: str, words: str
) -> None:  # fmt: skip
    file = written(tmp_path, GOOD.replace(before, after))
    _, problems = _checked([file])
    assert problems
    assert problems[0]["place"].startswith(f"{file}:{place}"), problems
    assert words in problems[0]["problem"]


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
    first, second, total = timeline_lines([{"id": "a", **step}, {"id": "b", **later}], datetime.now(UTC))
    assert first.index("█") < second.index("█")
    assert "20.000 s" in total
