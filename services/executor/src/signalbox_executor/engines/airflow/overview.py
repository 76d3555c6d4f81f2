"""What a person wants to know of an Airflow: what runs wait for, how far they are, its DAGs, what it cannot parse."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue

from signalbox_contracts.messages.tasks import StepProgress
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_executor.engines.airflow.answers import (
    TASK_ENDED_STATES,
    TASK_PHASES,
    Dag,
    Dags,
    ImportErrors,
    TaskInstance,
    TaskInstances,
    Version,
    each,
)
from signalbox_executor.engines.airflow.client import AirflowClient, segment
from signalbox_executor.engines.airflow.tracking import RunName
from signalbox_executor.engines.capabilities import Progress
from signalbox_executor.engines.port import EngineRefused, bounded

DAG_SECONDS: Final = 5.0
"""How long the answer to "is this DAG paused" is used."""
MAX_SHOWN_DAGS: Final = 100
MAX_SHOWN_ERRORS: Final = 20
RUNS_AT_ONCE: Final = 50
MAX_TASK_INSTANCES: Final = 10_000
MAX_NAMED_TASKS: Final = 50
_TRY_ENDED: Final = TASK_ENDED_STATES | {"up_for_retry"}


@dataclass
class Overview:
    """Answers that change nothing."""

    client: AirflowClient
    _dags: dict[str, tuple[float, Dag | None]] = field(default_factory=dict[str, "tuple[float, Dag | None]"])

    async def waiting(self, queued: Mapping[str, RunName]) -> dict[str, str]:
        """Why these queued runs do not begin, by run key."""
        reasons: dict[str, str] = {}
        of_dag = Counter(dag_id for dag_id, _ in queued.values())
        for run_key, (dag_id, _) in queued.items():
            dag = await self._dag(dag_id)
            if dag is None:
                reasons[run_key] = f"DAG {dag_id} is gone from Airflow: its runs stay queued"
            elif dag.is_paused:
                reasons[run_key] = f"DAG {dag_id} is paused in Airflow: its runs stay queued until it is unpaused"
            elif dag.max_active_runs is not None and of_dag[dag_id] > 0:
                reasons[run_key] = (
                    f"Airflow has queued the run: DAG {dag_id} runs at most {dag.max_active_runs} at once"
                )
        return reasons

    async def progress(
        self, names: Mapping[str, RunName], queued_at: Mapping[RunName, datetime | None]
    ) -> dict[str, Progress]:
        """How many tasks of each run have ended, and the state of each.

        `queued_at` says when each run was queued last: what began before belongs to the run before the clear.
        """
        found: dict[str, Progress] = {}
        keys = list(names)
        for begin in range(0, len(keys), RUNS_AT_ONCE):
            page = {run_key: names[run_key] for run_key in keys[begin : begin + RUNS_AT_ONCE]}
            tasks = await self._task_instances(page.values())
            found |= {
                run_key: _progress(tasks[name], queued_at.get(name)) for run_key, name in page.items() if name in tasks
            }
        return found

    async def test(self) -> dict[str, JsonValue]:
        """Version, DAGs and parse errors. Raises `EngineRefused` where Airflow answers and does not let us in."""
        version = self.client.read(Version, await self.client.call("GET", "/version")).version
        answer = await self.client.call("GET", "/dags", [("limit", str(MAX_SHOWN_DAGS))])
        if answer.status == 403:
            raise EngineRefused(self.client.name, answer.reason(), field="connection.access.username")
        dags = self.client.read(Dags, answer)
        answer = await self.client.call("GET", "/importErrors", [("limit", str(MAX_SHOWN_ERRORS))])
        errors = self.client.read(ImportErrors, answer) if answer.status == 200 else ImportErrors(import_errors=[])
        return {
            "version": version,
            "dag_count": dags.total_entries if dags.total_entries is not None else len(dags.dags),
            "dags": [
                {"dag_id": dag.dag_id, "is_paused": dag.is_paused, "has_import_errors": dag.has_import_errors}
                for dag in each(Dag, dags.dags)
            ],
            "import_errors": [_import_error(error) for error in errors.import_errors],
        }

    async def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        path, body = f"/dags/{segment(dag_id)}", {"is_paused": paused}
        answer = await self.client.call("PATCH", path, [("update_mask", "is_paused")], body)
        if answer.status in (403, 404, 422):
            raise EngineRefused(self.client.name, answer.reason(), field="dag_id", value=dag_id)
        self._dags[dag_id] = (time.monotonic(), self.client.read(Dag, answer))

    async def _dag(self, dag_id: str) -> Dag | None:
        known_at, known = self._dags.get(dag_id, (float("-inf"), None))
        if time.monotonic() - known_at > DAG_SECONDS:
            answer = await self.client.call("GET", f"/dags/{segment(dag_id)}")
            known = None if answer.status == 404 else self.client.read(Dag, answer)
            self._dags[dag_id] = (time.monotonic(), known)
        return known

    async def _task_instances(self, names: Iterable[RunName]) -> Mapping[RunName, list[TaskInstance]]:
        """The tasks of these runs, in one call."""
        wanted = set(names)
        body: dict[str, Any] = {
            "dag_ids": sorted({dag_id for dag_id, _ in wanted}),
            "dag_run_ids": sorted({run_id for _, run_id in wanted}),
            "page_limit": MAX_TASK_INSTANCES,
        }
        answer = await self.client.call("POST", "/dags/~/dagRuns/~/taskInstances/list", body=body)
        found: defaultdict[RunName, list[TaskInstance]] = defaultdict(list)
        for task in each(TaskInstance, self.client.read(TaskInstances, answer).task_instances):
            if (task.dag_id, task.dag_run_id) in wanted:
                found[task.dag_id, task.dag_run_id].append(task)
        return found


def _progress(tasks: Sequence[TaskInstance], queued_at: datetime | None) -> Progress:
    """`extract success; load running`, in the order of the tasks' names."""
    ordered = sorted(tasks, key=lambda task: (task.task_id, task.map_index))
    words = [f"{task.label} {task.state or 'waits'}" for task in ordered[:MAX_NAMED_TASKS]]
    if len(ordered) > MAX_NAMED_TASKS:
        words.append(f"and {len(ordered) - MAX_NAMED_TASKS} more")
    done = sum(task.state in TASK_ENDED_STATES for task in tasks)
    return Progress(
        fraction=done / len(tasks) if tasks else None,
        message=bounded("; ".join(words)),
        steps=tuple(_step(task, queued_at) for task in ordered[:MAX_ITEMS]),
    )


def _step(task: TaskInstance, queued_at: datetime | None) -> StepProgress:
    began = task.start_date is not None and (queued_at is None or task.start_date >= queued_at)
    return StepProgress(
        name=task.label[:255], state=(task.state or "waits")[:64],
        phase=TASK_PHASES.get(task.state or "") if began else None, attempt=task.try_number or None,
        started_at=task.start_date, ended_at=task.end_date if task.state in _TRY_ENDED else None,
    )  # fmt: skip


def _import_error(row: JsonValue) -> dict[str, JsonValue]:
    """File and text of a parse error, whatever its other fields are."""
    error: dict[str, Any] = row if isinstance(row, dict) else {}
    return {
        "file": str(error.get("filename", ""))[:500],
        "error": str(error.get("stack_trace", ""))[-2000:],
    }
