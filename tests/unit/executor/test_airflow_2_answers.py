"""What Airflow 2 answers (`/api/v1`), as recorded from a real 2.11.0."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from signalbox_executor.engines.airflow.answers import DagRun, TaskInstance, TaskInstances, XComEntry, each
from signalbox_executor.engines.airflow.client import Answer
from signalbox_executor.engines.airflow.ends import error_in_text_log, value_of_text
from signalbox_executor.engines.airflow.names import is_ours
from signalbox_executor.engines.airflow.runs import refused_field

ANSWERS = Path(__file__).with_name("airflow_answers")


def recorded(name: str) -> Answer:
    answer: Any = json.loads((ANSWERS / f"{name}-2.11.0.json").read_text())
    return Answer(answer["status"], json.dumps(answer["body"]).encode(), datetime(2026, 11, 28, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("dag-missing", 404, "DAG with dag_id: 'no_such' not found"),
        ("run-exists", 409, "already exists"),
        ("date-taken", 409, "logical date: '2026-01-02 03:04:05+00:00' already exists"),
        ("unauthorized", 401, "Unauthorized"),
    ],
)
def test_a_refusal_has_a_reason_a_person_can_read(name: str, status: int, reason: str) -> None:
    answer = recorded(name)
    assert answer.status == status
    assert reason in answer.reason()


def test_an_unknown_dag_names_its_field() -> None:
    assert refused_field(404, recorded("dag-missing").reason()) == ("work.dag_id", True)


def test_a_run_is_read_with_our_mark() -> None:
    run = DagRun.model_validate_json(recorded("run").body)
    assert (run.dag_id, run.state, run.queued_at) == ("pipeline", "queued", None)
    assert is_ours(run, run.dag_run_id)


def test_mapped_tasks_and_their_states_are_read() -> None:
    page = TaskInstances.model_validate_json(recorded("tasks").body)
    states = {task.label: task.state for task in each(TaskInstance, page.task_instances)}
    assert states == {
        "extract": "success", "transform[0]": "success", "transform[1]": "failed", "load": "upstream_failed",
    }  # fmt: skip


def test_what_a_task_returned_is_a_value_again() -> None:
    value = XComEntry.model_validate_json(recorded("return-value").body).value
    assert isinstance(value, str)
    assert value_of_text(value) == {"rows": 30}


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', {"a": 1}), ("{'a': (1, None)}", {"a": [1, None]}), ("done", "done"), ("{1, 2", "{1, 2"), ("", "")],
)
def test_a_text_that_is_neither_json_nor_a_python_value_stays_a_text(text: str, value: JsonValue) -> None:
    assert value_of_text(text) == value


def test_the_last_exception_is_found_in_a_log() -> None:
    log = (ANSWERS / "failed-log-2.11.0.txt").read_bytes()
    assert error_in_text_log(log) == "ValueError: the result is no JSON: NaN is not allowed"
    assert error_in_text_log(b"[2026-11-29] INFO - all went well\n") == ""
