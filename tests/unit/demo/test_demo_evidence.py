"""The demonstration can fail: each promise it checks, broken, is named."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from demo.evidence import Start, expected_answer, faults, starts
from signalbox_local import examples

GOOD: dict[str, Any] = {
    "begun": [Start("a-1", "generate", 1, 10.0), Start("b-1", "aggregate", 2, 20.0), Start("c-1", "query", 3, 40.0)],
    "run_keys": ["a-1", "b-1", "c-1"],
    "killed_at": 20.1,
    "took_over": True,
    "answer": {"checksum": "x"},
    "expected": {"checksum": "x"},
}


def test_what_held_has_no_faults() -> None:
    assert faults(**GOOD) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"begun": [*GOOD["begun"], Start("b-1", "aggregate", 9, 30.0)]}, "run key b-1 was started 2 times"),
        ({"begun": GOOD["begun"][:2]}, "the tasks are"),
        ({"killed_at": None}, "never killed"),
        ({"killed_at": 5.0}, "the kill showed nothing"),
        ({"took_over": False}, "no take-over"),
        ({"answer": {"checksum": "y"}}, "computed independently"),
    ],
)
def test_each_broken_promise_is_named(broken: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults(**{**GOOD, **broken}))


def test_the_programs_find_what_is_computed_independently(tmp_path: Path) -> None:
    generate, aggregate, query = examples.install(tmp_path / "programs")
    work = tmp_path / "work"
    work.mkdir()
    result = tmp_path / "result"
    environment = {"SIGNALBOX_RUN_KEY": "k-1", "SIGNALBOX_RESULT": str(result)}
    for words in (
        [generate, "5000", "7", "sales.csv"],
        [aggregate, "sales.csv", "totals.json"],
        [query, "totals.json"],
    ):
        subprocess.run(list(map(str, words)), cwd=work, env=environment, check=True, capture_output=True)
    assert json.loads(result.read_text()) == expected_answer(5000, 7)
    assert [start.program for start in starts(work)] == ["generate", "aggregate", "query"]
