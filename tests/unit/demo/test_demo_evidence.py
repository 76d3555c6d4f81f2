"""The demonstration can fail: each promise it checks, broken, is named."""

import json
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.evidence import Start, expected_answer, faults, starts
from signalbox_local import examples

GOOD: dict[str, Any] = {
    "begun": [Start("a-1", "ingestion", 1, 10.0), Start("b-1", "processing", 2, 20.0), Start("c-1", "loader", 3, 40.0)],
    "run_keys": ["a-1", "b-1", "c-1"],
    "killed_at": 20.1,
    "took_over": True,
    "answer": {"checksum": "x"},
    "expected": {"checksum": "x"},
}


def test_what_held_has_no_faults() -> None:
    assert faults(**GOOD) == []


@pytest.mark.parametrize(
    ("broken", "finding"),
    [
        ({"begun": [*GOOD["begun"], Start("b-1", "processing", 9, 30.0)]}, "run key b-1 was started 2 times"),
        ({"begun": GOOD["begun"][:2]}, "the tasks are"),
        ({"killed_at": None}, "never killed"),
        ({"killed_at": 5.0}, "the kill showed nothing"),
        ({"took_over": False}, "no take-over"),
        ({"answer": {"checksum": "y"}}, "computed independently"),
    ],
)
def test_each_broken_promise_is_named(broken: dict[str, Any], finding: str) -> None:
    assert any(finding in fault for fault in faults(**{**GOOD, **broken}))


def test_the_programs_of_files_find_what_is_computed_independently(tmp_path: Path) -> None:
    ingestion, processing, _ = examples.install(tmp_path / "programs")
    work = tmp_path / "work"
    work.mkdir()
    initial, daily = date(2026, 3, 27), date(2026, 3, 28)
    for mode, day in (("initial_load", initial), ("incremental", daily)):
        environment = {
            "SIGNALBOX_RUN_KEY": "k-1", "SIGNALBOX_RESULT": str(tmp_path / "result"), "MODE": mode,
            "EVENT_DATE": day.isoformat(), "PROCESSING_WINDOW_DAYS": "3",
        }  # fmt: skip
        for words in ([ingestion, "500", "7"], [processing]):
            subprocess.run(list(map(str, words)), cwd=work, env=environment, check=True, capture_output=True)
    totals = json.loads((work / "totals.json").read_text())
    window = [daily - timedelta(n) for n in range(3)]
    assert sorted(totals) == sorted(day.isoformat() for day in window)
    expected = expected_answer(500, 7, window, window)
    best = {region: sum(day[region]["cents"] for day in totals.values()) for region in totals["2026-03-28"]}
    assert best[expected["best_region"]] == expected["cents"] == max(best.values())
    assert sum(region["sales"] for day in totals.values() for region in day.values()) == expected["sales"]
    assert [start.program for start in starts(work)] == ["ingestion", "processing"] * 2
    assert len(list((work / "raw").iterdir())) == 4, "the initial load has three days, the daily run adds one"
