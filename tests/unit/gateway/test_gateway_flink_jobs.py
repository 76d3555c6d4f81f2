"""Jobs in the fields of the Flink job orchestrator's document, and its words for executions."""

from typing import Any

import pytest

from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.problems import InvalidDefinition
from signalbox_contracts.definitions.work import FlinkWork, ProcessWork
from signalbox_contracts.states import PLAN_ENDS, TaskState
from signalbox_gateway.flink_jobs.document import from_document, to_document
from signalbox_gateway.flink_jobs.executions import PLAN_STATUSES, STATUSES, execution, status

WRITTEN: dict[str, Any] = {
    "name": "data-processor-job",
    "jarURL": "http://data-processor:8080/data-processor.jar",
    "entryClass": "com.microserviceboilerplate.DataProcessor",
    "config": {"source": "socket", "sink": "postgres"},
}


def test_the_documents_own_example_is_flink_work() -> None:
    assert from_document(WRITTEN) == {
        "name": "data-processor-job",
        "work": {
            "kind": "flink",
            "jar_url": WRITTEN["jarURL"],
            "entry_class": WRITTEN["entryClass"],
            "config": WRITTEN["config"],
        },
    }


def test_numbers_and_truth_values_of_a_configuration_become_texts() -> None:
    work = from_document({**WRITTEN, "config": {"rows": 12, "rate": 0.5, "dry": True}})["work"]
    assert work["config"] == {"rows": "12", "rate": "0.5", "dry": "true"}


def test_an_answer_can_be_sent_back_as_it_is() -> None:
    job = Job.model_validate({"id": "j", **from_document(WRITTEN)})
    shown = {**job.model_dump(mode="json"), **to_document(job.work), "schedule": "0 * * * * *"}
    assert Job.model_validate(from_document(shown)) == job


def test_a_field_that_differs_from_the_work_beside_it_is_refused() -> None:
    """Either could be meant: the caller edited one of them."""
    job = Job.model_validate({"id": "j", **from_document(WRITTEN)})
    shown = {**job.model_dump(mode="json"), **to_document(job.work), "entryClass": "com.example.Other"}
    with pytest.raises(InvalidDefinition) as refused:
        from_document(shown)
    assert [problem.field for problem in refused.value.problems] == ["entryClass"]


def test_a_job_of_another_kind_has_none_of_these_fields() -> None:
    assert set(to_document(ProcessWork(argv=("/bin/true",))).values()) == {None}
    with pytest.raises(InvalidDefinition):
        from_document({"id": "j", "work": {"kind": "process", "argv": ["x"]}, "jarURL": "http://x/y.jar"})
    plain: dict[str, Any] = {"id": "j", "work": {"kind": "process", "argv": ["x"]}}
    assert from_document(plain) == plain
    assert from_document({**plain, "jarURL": None, "schedule": None}) == plain


def test_every_field_of_flink_work_can_be_written_in_the_documents_form() -> None:
    assert set(FlinkWork.model_fields) - {"kind"} == {
        field for field in from_document(dict.fromkeys(to_document(FlinkWork())))["work"] if field != "kind"
    }


def test_every_state_has_a_word() -> None:
    assert set(STATUSES) == set(TaskState) - {TaskState.OTHER}
    assert set(PLAN_STATUSES) == set(PLAN_ENDS)
    assert status("RUNNING", "SUBMITTING") == "PENDING"
    assert status("RUNNING", None) == "PENDING"
    assert status("CANCELLED", "CANCELLED") == "STOPPED"


def test_an_execution_that_was_not_sent_has_no_jar_yet() -> None:
    shown = execution({"id": "p", "state": "ACCEPTED", "target": "job:j", "waiting": []}, None, None)
    assert (shown["jobId"], shown["status"], shown["jarSHA256"]) == ("j", "PENDING", None)
