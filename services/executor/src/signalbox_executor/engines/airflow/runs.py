"""Starting work on Airflow exactly once: a new run under our run key, or a clear of the failed tasks of a run.

A 409 is never believed: it also means that another run has the same logical date. The run is looked up, and it is ours
only if its `conf` carries our run key. Every other refusal is looked up as well, as an earlier copy may have arrived.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from signalbox_contracts.definitions.work import AirflowWork
from signalbox_executor.engines.airflow.answers import DagRun, DagRuns, ImportErrors, TaskInstance, TaskInstances, each
from signalbox_executor.engines.airflow.client import AirflowClient, Answer, segment
from signalbox_executor.engines.airflow.names import (
    annotated,
    clear_mark,
    cleared_by,
    conf_of,
    is_ours,
    marked,
    started_by,
    unmarked,
    was_stopped,
)
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Submission, bounded

_DAG_ID: Final = re.compile(r"[\w.-]{1,250}")
MAX_CLEARED: Final = 1000
MAX_RUNS: Final = 4000
"""Of a DAG between two dates that are listed."""
MAX_NAMED_FILES: Final = 5
PAGE: Final = 100
_RUN_ID: Final = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")


def run_path(dag_id: str, dag_run_id: str) -> str:
    return f"/dags/{segment(dag_id)}/dagRuns/{segment(dag_run_id)}"


async def find_run(client: AirflowClient, dag_id: str, dag_run_id: str) -> DagRun | None:
    """The run, or None if Airflow says that there is none."""
    answer = await client.call("GET", run_path(dag_id, dag_run_id))
    return None if answer.status == 404 else client.read(DagRun, answer)


async def runs_between(client: AirflowClient, dag_id: str, first: datetime, last: datetime) -> list[DagRun]:
    """The runs of a DAG with a logical date in this range, both ends included. Raises `EngineRefused` for too many."""
    name = "execution_date" if await client.major() == 2 else "logical_date"
    found: list[DagRun] = []
    for begin in range(0, MAX_RUNS, PAGE):
        query = [
            (f"{name}_gte", first.isoformat()), (f"{name}_lte", last.isoformat()), ("order_by", name),
            ("limit", str(PAGE)), ("offset", str(begin)),
        ]  # fmt: skip
        rows = client.read(DagRuns, await client.call("GET", f"/dags/{segment(dag_id)}/dagRuns", query)).dag_runs
        found += each(DagRun, rows)
        if len(rows) < PAGE:
            return found
    words = f"DAG {dag_id} has {MAX_RUNS} runs or more from {first.isoformat()} to {last.isoformat()}"
    raise EngineRefused(client.name, words, field="selection.dates")


async def trigger(client: AirflowClient, submission: Submission, work: AirflowWork) -> DagRun:
    """The run of this run key, started now or by an earlier copy of this submit."""
    _check_names(client, work)
    body: dict[str, Any] = {"dag_run_id": submission.run_key, "conf": conf_of(submission, work)}
    if await client.major() == 3 or work.logical_date is not None:
        body["logical_date"] = work.logical_date  # 3.x: must be there, null is allowed
    if work.note:
        body["note"] = work.note
    answer = await client.call("POST", f"/dags/{segment(work.dag_id)}/dagRuns", body=body)
    if answer.status in (200, 201):
        return client.read(DagRun, answer)
    if answer.status not in (400, 403, 404, 409, 422):
        raise client.unexpected(answer)
    run = await find_run(client, work.dag_id, submission.run_key)
    if run is None and answer.status == 409 and (earlier := await _earlier_run(client, submission, work)):
        again = {"mode": "clear", "dag_run_id": earlier.dag_run_id, "clear_tasks": "failed"}
        return await clear(client, submission, work.model_copy(update=again))
    if run is None:
        raise _refusal(client, work, answer, await _unparsed(client) if answer.status == 404 else "")
    if not is_ours(run, submission.run_key):
        raise EngineRefused(
            client.name,
            f"DAG {work.dag_id} has a run {submission.run_key} that we did not start: its conf has no mark of ours",
            field="run_key", value=submission.run_key,
        )  # fmt: skip
    return run


async def _earlier_run(client: AirflowClient, submission: Submission, work: AirflowWork) -> DagRun | None:
    """The run of this date, if an earlier attempt of the task, or a task that is retried here, started it."""
    if work.logical_date is None:
        return None
    at = datetime.fromisoformat(work.logical_date)
    runs = await runs_between(client, work.dag_id, at, at)
    tasks = {submission.task_id, *work.after_tasks}
    return next((run for run in runs if run.logical_date == at and started_by(run, tasks)), None)


async def clear(client: AirflowClient, submission: Submission, work: AirflowWork) -> DagRun:
    """The run whose failed tasks this submit has cleared, now or by an earlier copy.

    The mark in the run's note says that this run key did it. Where a clear takes no note, the mark is written before,
    and holds by itself whether the clear followed. `queued_at` guards against the clear of somebody else: a run that
    was queued since the retry was asked for is not the one that failed then.
    """
    _check_names(client, work)
    target, key = work.dag_run_id or "", submission.run_key
    run = await find_run(client, work.dag_id, target)
    if run is None:
        words = f"DAG {work.dag_id} has no run {target}"
        raise EngineRefused(client.name, words, field="work.dag_run_id", value=target)
    mark = clear_mark(run.note, key)
    if mark is not None and mark.has_happened(run):
        return run
    _check_clearable(client, submission, work, run)
    # a stop leaves what had not begun as skipped
    stopped = mark.of_stopped if mark is not None else was_stopped(run.note)
    everything = work.clear_tasks == "all"
    tasks = await _tasks_in(
        client, run, () if everything else ("failed", "upstream_failed", *(("skipped",) if stopped else ()))
    )
    if not tasks:
        words = f"no task of run {target} failed: there is nothing to clear"
        raise EngineRefused(client.name, words, field="work.dag_run_id", value=target)
    note = marked(work.note or unmarked(run.note), "restarted" if stopped else "cleared", key, after=run.generation)
    if stopped or await client.major() == 2:
        await _set_note(client, run, note)
        await _clear_tasks(client, work, tasks, only_failed=not (stopped or everything))
        return await find_run(client, work.dag_id, target) or run
    body = {"dry_run": False, "only_failed": not everything, "note": note}
    answer = await client.call("POST", f"{run_path(work.dag_id, target)}/clear", body=body)
    if answer.status in (400, 403, 404, 422):
        raise _refusal(client, work, answer)
    return client.read(DagRun, answer)


def _check_clearable(client: AirflowClient, submission: Submission, work: AirflowWork, run: DagRun) -> None:
    if not run.ended:
        words = f"run {run.dag_run_id} is {run.state}: only what has ended can be retried"
        raise EngineRefused(client.name, words, field="work.dag_run_id", value=run.dag_run_id)
    expected = work.expected_queued_at
    ours = cleared_by(run.note, {submission.task_id, *work.after_tasks})
    if expected is not None and run.queued_at is not None and run.queued_at != expected and not ours:
        words = f"run {run.dag_run_id} was cleared by somebody else at {run.queued_at.isoformat()}"
        raise EngineRefused(client.name, words, field="work.expected_queued_at", value=expected.isoformat())


async def _clear_tasks(
    client: AirflowClient, work: AirflowWork, tasks: Sequence[TaskInstance], *, only_failed: bool
) -> None:
    """Clear these tasks and queue their run. The call takes no note of the run.

    2.x takes mapped tasks as a whole: `only_failed` leaves out what succeeded of them.
    """
    ids: list[Any] = [task.task_id if task.map_index < 0 else [task.task_id, task.map_index] for task in tasks]
    if await client.major() == 2:
        ids = sorted({task.task_id for task in tasks})
    body = {
        "dry_run": False, "only_failed": only_failed, "dag_run_id": work.dag_run_id, "task_ids": ids,
        "reset_dag_runs": True,
    }  # fmt: skip
    answer = await client.call("POST", f"/dags/{segment(work.dag_id)}/clearTaskInstances", body=body)
    if answer.status in (400, 403, 404, 422):
        raise _refusal(client, work, answer)
    client.read(TaskInstances, answer)


async def stop(client: AirflowClient, run: DagRun, run_key: str) -> DagRun:
    """Ask Airflow to end a run: its state is set to failed, and the mark says that we did it.

    Running teardown tasks are left to end, and the run with them.
    """
    path, note = run_path(run.dag_id, run.dag_run_id), marked(run.note, "stopped", run_key)
    if await client.major() == 2:
        await _set_note(client, run, note)
        return client.read(DagRun, await client.call("PATCH", path, body={"state": "failed"}))
    return client.read(DagRun, await client.call("PATCH", path, body={"state": "failed", "note": note}))


async def annotate(client: AirflowClient, run: DagRun, words: str) -> None:
    """Replace what people wrote in a run's note; our own marks stay."""
    await _set_note(client, run, annotated(run.note, words))


async def _set_note(client: AirflowClient, run: DagRun, note: str) -> None:
    path, body = run_path(run.dag_id, run.dag_run_id), {"note": note}
    if await client.major() == 2:
        client.read(DagRun, await client.call("PATCH", f"{path}/setNote", body=body))
    else:
        client.read(DagRun, await client.call("PATCH", path, [("update_mask", "note")], body))


async def _tasks_in(client: AirflowClient, run: DagRun, states: Sequence[str]) -> list[TaskInstance]:
    """The tasks of a run in one of these states, at most `MAX_CLEARED`."""
    found: list[TaskInstance] = []
    path = f"{run_path(run.dag_id, run.dag_run_id)}/taskInstances"
    for begin in range(0, MAX_CLEARED, PAGE):
        query = [*(("state", state) for state in states), ("limit", str(PAGE)), ("offset", str(begin))]
        rows = client.read(TaskInstances, await client.call("GET", path, query)).task_instances
        found += each(TaskInstance, rows)
        if len(rows) < PAGE:
            break
    return found


def _check_names(client: AirflowClient, work: AirflowWork) -> None:
    """Refuse names that would mean something else in a path, such as `~` for all DAGs."""
    if not _DAG_ID.fullmatch(work.dag_id):
        words = "is not the id of a DAG: letters, digits, '_', '-' and '.' are allowed"
        raise EngineRefused(client.name, words, field="work.dag_id", value=work.dag_id[:200])
    if work.mode == "clear" and not _RUN_ID.fullmatch(work.dag_run_id or ""):
        words = "is not the id of a DAG run: letters, digits and '_.~:+-' are allowed"
        raise EngineRefused(client.name, words, field="work.dag_run_id", value=(work.dag_run_id or "")[:200])
    if "signalbox" in work.conf:
        words = "is not allowed: Signalbox puts the run key under this name"
        raise EngineRefused(client.name, words, field="work.conf.signalbox", value="")


async def _unparsed(client: AirflowClient) -> str:
    """Which files Airflow cannot parse: it forgets the DAGs of a file that breaks. Empty if it does not say."""
    try:
        answer = await client.call("GET", "/importErrors", [("limit", str(MAX_NAMED_FILES))])
        rows = client.read(ImportErrors, answer).import_errors if answer.status == 200 else []
    except EngineUnavailable:
        return ""
    files = [PurePosixPath(str(row.get("filename", ""))).name for row in rows if isinstance(row, dict)]
    return f"; it cannot parse {', '.join(files)}" if files else ""


def _refusal(
    client: AirflowClient, work: AirflowWork, answer: Answer, more: str = ""
) -> EngineRefused | EngineUnavailable:
    """Why Airflow will not run this, with the field that is wrong."""
    reason = bounded(answer.reason() + more)
    field, value = refused_field(answer.status, answer.reason())
    if answer.status == 409:
        if work.logical_date is None:
            return EngineUnavailable(client.name, f"409 for a run that is not there: {reason}")
        return EngineRefused(
            client.name, f"another run of DAG {work.dag_id} has this logical date", field="work.logical_date",
            value=work.logical_date,
        )  # fmt: skip
    return EngineRefused(client.name, reason, field=field, value=work.dag_id if value else "")


def refused_field(status: int, reason: str) -> tuple[str, bool]:
    """Which field of the work a refusal is about, and whether the DAG's id is its value.

    Airflow names the field of a 422 alone. For the rest there is only its text; 3.3.2 says: `Dag with dag_id: 'x' not
    found`, `… has import errors and cannot be triggered`, `… does not allow manual runs`, `Invalid input for param n`.
    """
    if status == 422:
        named = re.match(r"body\.(logical_date|note|conf)\b", reason)
        return (f"work.{named[1]}" if named else "work", False)
    if status == 400 and (named := re.search(r"'(logical_date|note|conf)'", reason)):  # 2.11
        return f"work.{named[1]}", False
    if status in (403, 404) or "import error" in reason or "manual run" in reason:
        return "work.dag_id", True
    return ("work.conf" if "param" in reason.lower() else "work", False)
