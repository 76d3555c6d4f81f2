"""What Flink says of a run it does not accept, as recorded from 1.20.3 and 2.3.0."""

import json
from pathlib import Path

import pytest

from signalbox_executor.engines.flink.refusals import (
    Duplicate,
    JarMissing,
    RunAnswer,
    Unclear,
    WorkRefused,
    judge_run,
    root_cause,
)

ANSWERS = Path(__file__).with_name("flink_answers")
VERSIONS = ("1.20.3", "2.3.0")


def recorded(name: str, version: str) -> tuple[int, str]:
    answer = json.loads((ANSWERS / f"{name}-{version}.json").read_text())
    return answer["status"], "\n".join(answer["errors"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("duplicate", Duplicate()),
        ("jar-missing", JarMissing()),
        ("main-threw", WorkRefused("main failed: IllegalArgumentException: the table of today is missing")),
        ("no-job", WorkRefused("main ended without starting a job")),
        ("no-class", WorkRefused("the JAR has no class probe.Nobody", "work.entry_class")),
        (
            "no-entry",
            WorkRefused("the JAR names no main class, and the job no entry class", "work.entry_class"),
        ),
        ("no-main", WorkRefused("the entry class has no main method", "work.entry_class")),
    ],
)
def test_each_refusal_says_what_to_change(name: str, expected: RunAnswer, version: str) -> None:
    assert judge_run(*recorded(name, version)) == expected


def test_an_answer_that_says_nothing_of_the_work_is_unclear() -> None:
    assert judge_run(503, "Service temporarily unavailable due to an ongoing leader election.") == Unclear(
        "status 503: Service temporarily unavailable due to an ongoing leader election."
    )
    assert isinstance(judge_run(500, "Internal server error."), Unclear)
    disabled = WorkRefused("the cluster takes no JARs: web.submit.enable is false")
    assert judge_run(404, "Not found: /jars/x/run") == disabled


def test_a_root_cause_is_bounded_and_never_empty() -> None:
    assert root_cause("") == "no reason given"
    assert len(root_cause("java.lang.Error: " + "x" * 100_000)) <= 800
    assert root_cause("a.b.Outer: one\n\tat x\nCaused by: c.d.Inner: two\n\t... 3 more") == "Inner: two"
