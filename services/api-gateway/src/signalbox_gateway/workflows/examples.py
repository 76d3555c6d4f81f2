"""One example for every body and answer of the workflows API."""

from typing import Any, Final

from signalbox_contracts.samples.definitions import LATER, NOW, OPERATION, PLAN, TASK

Example = dict[str, Any]
_TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_WRITE: Final[Example] = {
    "name": "My Workflow", "description": "Example workflow", "dag_id": "simple_workflow_example",
}  # fmt: skip
_WORKFLOW: Final[Example] = {
    "id": "my-workflow", **_WRITE, "engine": None, "parameters": {}, "project": "default", "labels": {}, "version": 1,
    "revision": 42, "created_at": NOW, "updated_at": LATER, "updated_by": "user:ann",
}  # fmt: skip
_REQUEST: Final[Example] = {"task_id": 123, "dataset_id": 456, "parameters": {"processing_time": 30}}
_DAG_RUN: Final = f"sb-{TASK}-1"
_RUN: Final[Example] = {
    "id": PLAN, "workflow_id": "my-workflow", "dag_id": "simple_workflow_example", "dag_run_id": _DAG_RUN,
    "url": f"http://airflow.internal:8080/dags/simple_workflow_example/runs/{_DAG_RUN}", "state": "running", **_REQUEST,
    "retry_of": None, "note": "", "triggered_by": "user:ann", "waiting": [], "error": None, "result": None,
    "tasks": [
        {"task_id": "start", "state": "success", "try_number": 1, "started_at": NOW, "ended_at": LATER},
        {"task_id": "process", "state": "running", "try_number": 1, "started_at": LATER, "ended_at": None},
    ],
    "task": TASK, "created_at": NOW, "started_at": LATER, "ended_at": None, "trace_id": _TRACE_ID,
}  # fmt: skip
_DAG: Final[Example] = {
    "dag_id": "simple_workflow_example", "engine": "airflow", "is_paused": True, "operation_id": OPERATION,
}  # fmt: skip


def examples() -> dict[str, Example]:
    """By operation id."""
    return {
        "workflow_list": {"response": {"items": [_WORKFLOW], "next_cursor": None}},
        "workflow_create": {"request": _WRITE, "response": _WORKFLOW},
        "workflow_show": {"response": _WORKFLOW},
        "workflow_update": {"request": _WRITE, "response": _WORKFLOW},
        "workflow_pause": {"request": {"reason": "the source is away"}, "response": _DAG},
        "workflow_resume": {"request": {"reason": "the source is back"}, "response": {**_DAG, "is_paused": False}},
        "workflow_run": {"request": _REQUEST, "response": {**_RUN, "state": "triggered", "tasks": []}},
        "workflow_runs": {"response": {"items": [_RUN], "next_cursor": None}},
        "workflow_status": {"response": _RUN},
        "workflow_control": {
            "request": {"action": "stop", "note": "Manual stop"},
            "response": {"action": "stop", "run_id": PLAN, "operation_id": OPERATION, "run": _RUN},
        },
    }
