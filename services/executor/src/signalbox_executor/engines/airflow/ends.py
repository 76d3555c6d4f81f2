"""What the end of a run means: its result, why it failed, and whether it was we who ended it.

Airflow has no exit codes and no "cancelled". A failed run with our mark was stopped by us. The result is what the last
tasks of the DAG returned (XCom `return_value`).
"""

import ast
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.airflow.answers import (
    FAILED,
    RUNNING,
    SUCCESS,
    DagRun,
    DagTask,
    DagTasks,
    TaskInstance,
    TaskInstances,
    XComEntries,
    XComEntry,
    each,
)
from signalbox_executor.engines.airflow.client import AirflowClient, segment
from signalbox_executor.engines.airflow.names import handle_of, was_stopped
from signalbox_executor.engines.airflow.runs import run_path
from signalbox_executor.engines.port import EngineUnavailable, Observation, bounded
from signalbox_executor.engines.result import read_result

MAX_RESULT_TASKS: Final = 20
"""Of a DAG with more last tasks none is the result."""
MAX_NAMED_TASKS: Final = 10
GRAPH_SECONDS: Final = 60.0
"""How long the answer to "which are the last tasks" is used."""


@dataclass
class EndReader:
    """Reads what an ended run left."""

    client: AirflowClient
    _last_tasks: dict[str, tuple[float, frozenset[str]]] = field(
        default_factory=dict[str, tuple[float, frozenset[str]]]
    )

    async def read(self, run: DagRun, run_key: str, at: datetime) -> Observation:
        """The observation of a run that has ended. Raises the port's errors."""
        stopped = was_stopped(run.note, run_key)
        if run.state == SUCCESS and not stopped:
            return await self._succeeded(run, run_key, at)
        tasks = await self._unsuccessful(run)
        if stopped and run.state == SUCCESS and not tasks:  # it had done everything when the stop arrived
            return await self._succeeded(run, run_key, at)
        if stopped:
            message = f"stopped by Signalbox{_named(tasks, ' with ')}"
            return _ended(run, run_key, at, Phase.KILLED, EndCause.CANCELLED, message=message)
        message = _named(tasks, "") or "Airflow set the run to failed"
        reason = await self._error(run, tasks)
        return _ended(
            run, run_key, at, Phase.FAILED, EndCause.FAILED, message=f"{message}: {reason}" if reason else message
        )

    async def _succeeded(self, run: DagRun, run_key: str, at: datetime) -> Observation:
        try:
            result = await self._result(run)
        except ValueError as error:
            return _ended(run, run_key, at, Phase.FAILED, EndCause.FAILED, message=str(error))
        return _ended(run, run_key, at, Phase.SUCCEEDED, EndCause.COMPLETED, result=result)

    async def _result(self, run: DagRun) -> JsonValue:
        """What the only last task returned, or an object of what each returned. Raises ValueError if it is too large.

        A mapped task has as many values as instances, and none of them is the result.
        """
        path = f"{run_path(run.dag_id, run.dag_run_id)}/taskInstances/~/xcomEntries"
        answer = await self.client.call("GET", path, [("xcom_key", "return_value"), ("limit", "100")])
        entries = each(XComEntry, self.client.read(XComEntries, answer).xcom_entries)
        returned = {entry.task_id for entry in entries if entry.map_index < 0}
        if not returned:
            return None
        last = sorted(returned & await self._last(run.dag_id))
        if not last or len(last) > MAX_RESULT_TASKS:
            return None
        values = {task_id: await self._value(run, task_id) for task_id in last}
        value: JsonValue = values[last[0]] if len(last) == 1 else values
        return read_result(to_json(value))

    async def _value(self, run: DagRun, task_id: str) -> JsonValue:
        path = f"{run_path(run.dag_id, run.dag_run_id)}/taskInstances/{segment(task_id)}/xcomEntries/return_value"
        query = [("deserialize", "false")]
        value = self.client.read(XComEntry, await self.client.call("GET", path, query)).value
        return value_of_text(value) if isinstance(value, str) and await self.client.major() == 2 else value

    async def _last(self, dag_id: str) -> frozenset[str]:
        """The tasks nothing waits for."""
        known_at, known = self._last_tasks.get(dag_id, (float("-inf"), frozenset[str]()))
        if time.monotonic() - known_at < GRAPH_SECONDS:
            return known
        answer = await self.client.call("GET", f"/dags/{segment(dag_id)}/tasks")
        tasks = each(DagTask, self.client.read(DagTasks, answer).tasks)
        last = frozenset(task.task_id for task in tasks if not task.downstream_task_ids)
        self._last_tasks[dag_id] = (time.monotonic(), last)
        return last

    async def _unsuccessful(self, run: DagRun) -> list[TaskInstance]:
        """The tasks that did not succeed, those that failed themselves first."""
        query = [("state", state) for state in ("failed", "upstream_failed", "skipped", "running")]
        path = f"{run_path(run.dag_id, run.dag_run_id)}/taskInstances"
        answer = await self.client.call("GET", path, [*query, ("limit", "100")])
        tasks = each(TaskInstance, self.client.read(TaskInstances, answer).task_instances)
        return sorted(tasks, key=lambda task: (task.state != FAILED, task.state or "", task.label))

    async def _error(self, run: DagRun, tasks: Sequence[TaskInstance]) -> str:
        """The exception that ended the first failed task, from its log; empty if there is none to be found."""
        first = next((task for task in tasks if task.state == FAILED and task.try_number), None)
        if first is None:
            return ""
        plain = await self.client.major() == 2
        path = f"{run_path(run.dag_id, run.dag_run_id)}/taskInstances/{segment(first.task_id)}/logs/{first.try_number}"
        query = [("full_content", "true"), ("map_index", str(first.map_index))]
        try:
            answer = await self.client.call("GET", path, query, accept="text/plain" if plain else "application/json")
        except EngineUnavailable:  # the log may be out of reach while all else is known
            return ""
        if answer.status != 200:
            return ""
        return error_in_text_log(answer.body) if plain else error_in_log(answer.body)


def value_of_text(text: str) -> JsonValue:
    """What a task returned, from what 2.x answers: JSON, or Python's text of the value (2.11: `{'rows': 30}`).

    A text that is neither stays a text.
    """
    try:
        return from_json(text)
    except ValueError:
        pass
    try:
        return from_json(to_json(ast.literal_eval(text)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def error_in_log(body: bytes) -> str:
    """The last exception of a structured log; empty if it has none, or is none."""
    try:
        events: list[Any] = from_json(body)["content"]
        details: list[Any] = [event["error_detail"][-1] for event in events if event.get("error_detail")]
        return f"{details[-1]['exc_type']}: {details[-1]['exc_value']}"[:500] if details else ""
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def error_in_text_log(body: bytes) -> str:
    """The last exception of a log of 2.x, which is text; empty if it has none."""
    _, found, after = body.rpartition(b"\nTraceback (most recent call last):\n")
    lines = after.splitlines() if found else []
    error = next((line for line in lines if line.strip() and not line.startswith((b" ", b"\t"))), b"")
    return error.decode(errors="replace")[:500]


def active(run: DagRun, run_key: str, at: datetime) -> Observation:
    """The observation of a run that has not ended. A state we do not know counts as running."""
    phase = Phase.SUBMITTED if run.state == "queued" else Phase.RUNNING
    stopping = "stop asked for: what cleans up is left to end" if was_stopped(run.note, run_key) else ""
    return Observation(
        run_key=run_key, phase=phase, handle=handle_of(run.dag_id, run.dag_run_id), at=at, message=stopping,
        started_at=run.start_date,
    )  # fmt: skip


def without_details(run: DagRun, run_key: str, at: datetime, reason: str) -> Observation:
    """The end of a run whose result or tasks cannot be read."""
    message = f"what it left cannot be read: {reason}"
    if run.state == SUCCESS:
        return _ended(run, run_key, at, Phase.SUCCEEDED, EndCause.COMPLETED, message=message)
    if was_stopped(run.note, run_key):
        return _ended(run, run_key, at, Phase.KILLED, EndCause.CANCELLED, message=message)
    return _ended(run, run_key, at, Phase.FAILED, EndCause.FAILED, message=message)


def lost(run_key: str, message: str = "Airflow has no such run") -> Observation:
    return Observation(run_key=run_key, phase=Phase.LOST, handle=None, at=datetime.now(UTC), message=message)


def _ended(
    run: DagRun, run_key: str, at: datetime, phase: Phase, cause: EndCause, *, result: JsonValue = None,
    message: str = "",
) -> Observation:  # fmt: skip
    return Observation(
        run_key=run_key, phase=phase, handle=handle_of(run.dag_id, run.dag_run_id), at=at, result=result, cause=cause,
        message=bounded(message), started_at=run.start_date, ended_at=run.end_date,
    )  # fmt: skip


def _named(tasks: Sequence[TaskInstance], before: str) -> str:
    """`task load failed on try 2; upstream_failed: report`."""
    if not tasks:
        return ""
    parts = [
        f"task {task.label} failed on try {task.try_number}" if task.state == FAILED else f"{task.label} {task.state}"
        for task in tasks[:MAX_NAMED_TASKS]
    ]
    if len(tasks) > MAX_NAMED_TASKS:
        parts.append(f"and {len(tasks) - MAX_NAMED_TASKS} more")
    still = " (a task still runs)" if any(task.state == RUNNING for task in tasks) else ""
    return f"{before}{'; '.join(parts)}{still}"
