"""`signalbox workflow`."""

from typing import Annotated, Any

import typer

from signalbox_client import inputs, watch
from signalbox_client.api import place
from signalbox_client.command import command, group, waits
from signalbox_client.commands.definitions import IfRevision, match
from signalbox_client.inputs import Everything, File, Form, Limit, Reason, Timeout, Wait, Waiting, Yes, api
from signalbox_client.output import Column, ago, echo, one, rows, state, took
from signalbox_client.reconnect import Reconnect, patient

workflow = group("Airflow DAGs, and their runs.")
Param = Annotated[list[str] | None, typer.Option("-p", "--param", help="name=value of the run's conf; repeatable")]
Note = Annotated[str, typer.Option("--note", help="the reason; kept with the run")]
Number = Annotated[int | None, typer.Option(help="your own number, passed on in the run's conf")]

COLUMNS: tuple[Column, ...] = (
    ("workflow", "id"), ("name", "name"), ("dag", "dag_id"), ("engine", "engine"), ("version", "version"),
    ("changed", lambda found: ago(found["updated_at"])),
)  # fmt: skip
FIELDS: tuple[Column, ...] = (
    *COLUMNS, ("description", "description"), ("parameters", "parameters"), ("project", "project"),
    ("labels", "labels"), ("revision", "revision"), ("by", "updated_by"),
)  # fmt: skip
RUNS: tuple[Column, ...] = (
    ("run", "id"), ("state", lambda found: state(found["state"])), ("dag run", "dag_run_id"),
    ("age", lambda found: ago(found["created_at"])),
    ("took", lambda found: took(found["started_at"], found["ended_at"])), ("by", "triggered_by"), ("error", "error"),
)  # fmt: skip
DAG: tuple[Column, ...] = (("dag", "dag_id"), ("engine", "engine"), ("paused", "is_paused"))


def _tasks(found: Any) -> str:
    return "\n".join(f"{task['task_id']} {task['state']}" for task in found["tasks"])


RUN: tuple[Column, ...] = (
    ("run", "id"), ("workflow", "workflow_id"), ("state", "state"), ("dag", "dag_id"), ("dag run", "dag_run_id"),
    ("page", "url"), ("parameters", "parameters"), ("tasks", _tasks), ("waits", waits), ("error", "error"),
    ("result", "result"), ("note", "note"), ("retry of", "retry_of"), ("by", "triggered_by"),
    ("created", "created_at"), ("started", "started_at"), ("ended", "ended_at"),
    ("task", "task"), ("trace", "trace_id"),
)  # fmt: skip


@command(workflow, "list")
def workflow_list(
    project: list[str] | None = None,
    dag_id: str = "",
    q: str = "",
    limit: Limit = 50,
    all: Everything = False,
    output: Form = "table",
) -> None:
    """List workflows."""
    found = api().pages(
        "/workflows", {"project": project, "dag_id": dag_id, "q": q}, limit=inputs.row_limit(limit, all)
    )
    rows(found, output, COLUMNS, empty="no workflows: `signalbox workflow create -f FILE` saves one")


@command(workflow, "create")
def workflow_create(file: File, output: Form = "table") -> None:
    """Save a workflow from a file: name, description, dag_id."""
    one(api().post("/workflows", inputs.document(file)), output, FIELDS)


@command(workflow, "show")
def workflow_show(id: str, output: Form = "table") -> None:
    """Show a workflow."""
    one(api().get(place("workflows", id)), output, FIELDS)


@command(workflow, "update")
def workflow_update(id: str, file: File, if_revision: IfRevision = None, output: Form = "table") -> None:
    """Save the next version of a workflow from a file."""
    one(api().put(place("workflows", id), inputs.document(file), headers=match(if_revision)), output, FIELDS)


@command(workflow, "delete")
def workflow_delete(id: str, if_revision: IfRevision = None, yes: Yes = False) -> None:
    """Delete a workflow that nothing uses."""
    inputs.sure(f"Delete workflow {id}?", yes)
    api().delete(place("workflows", id), headers=match(if_revision))
    echo(f"workflow {id} is deleted")


@command(workflow, "pause")
def workflow_pause(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Pause the DAG of a workflow in Airflow, and wait until it is paused."""
    _change_dag(id, "pause", reason, output)


@command(workflow, "resume")
def workflow_resume(id: str, reason: Reason = "", output: Form = "table") -> None:
    """Resume the DAG of a workflow in Airflow, and wait until it is resumed."""
    _change_dag(id, "resume", reason, output)


def _change_dag(id: str, verb: str, reason: str, output: str) -> None:
    waiting = Waiting(True, watch.ANSWER_SECONDS)
    changed = waiting.api().post(place("workflows", id, verb), {"reason": reason})
    watch.operation(api(), changed["operation_id"], timeout=waiting.seconds)
    one(changed, output, DAG, name="dag_id")


@command(workflow, "run")
def workflow_run(
    id: str,
    param: Param = None,
    task_id: Number = None,
    dataset_id: Number = None,
    note: Note = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Trigger a run: prints it, or with --wait its result."""
    body: dict[str, Any] = {"parameters": inputs.values(param, "--param"), "note": note}
    body |= {name: value for name, value in (("task_id", task_id), ("dataset_id", dataset_id)) if value is not None}
    waiting = Waiting(wait, timeout)
    _show(id, waiting.api().post(place("workflows", id, "runs"), body), output, waiting)


@command(workflow, "runs")
def workflow_runs(id: str, limit: Limit = 50, all: Everything = False, output: Form = "table") -> None:
    """List the runs of a workflow, newest first."""
    found = api().pages(place("workflows", id, "runs"), limit=inputs.row_limit(limit, all))
    rows(found, output, RUNS, empty=f"no runs: `signalbox workflow run {id}` triggers one")


@command(workflow, "status")
def workflow_status(id: str, run_id: str, output: Form = "table") -> None:
    """Show a run with the states of its tasks."""
    one(api().get(place("workflows", id, "runs", run_id)), output, RUN)


@command(workflow, "control")
def workflow_control(
    id: str,
    run_id: str,
    action: Annotated[str, typer.Argument(help="stop | retry | pause | resume | modify")],
    note: Note = "",
    wait: Wait = False,
    timeout: Timeout = None,
    output: Form = "table",
) -> None:
    """Stop, retry, pause, resume or modify (its note) a run; with --wait, until that run has ended."""
    waiting = Waiting(wait, timeout)
    answer = waiting.api().post(place("workflows", id, "runs", run_id, "control"), {"action": action, "note": note})
    _show(id, answer["run"], output, waiting)


def _show(id: str, run: dict[str, Any], output: str, waiting: Waiting) -> None:
    if not waiting.wait:
        one(run, output, RUN)
        return
    plan = watch.plan(api(), run["id"], timeout=waiting.seconds)
    one(patient(api(), Reconnect()).get(place("workflows", id, "runs", run["id"])), output, RUN)
    watch.ended_well(plan, "run")
