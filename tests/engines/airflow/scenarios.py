"""What the tests of this folder do again and again."""

from collections.abc import Collection
from typing import Any
from uuid import uuid4

from engines.airflow.harness import Harness
from engines.harness import until
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.port import ENDS, EngineUnavailable, Observation, Phase, Submission, Watched


def new_submission(work: AirflowWork, *, attempt: int = 1) -> Submission:
    """A new task's submit of this work."""
    task_id = uuid4()
    return Submission(run_key=run_key(task_id, attempt), task_id=task_id, attempt=attempt, work=work)


def pipeline(**conf: Any) -> AirflowWork:
    return AirflowWork(dag_id="pipeline", conf=conf)


async def observe(engine: AirflowEngine, of: Submission, handle: str | None = None) -> Observation:
    return (await engine.observe([Watched(of.run_key, of.attempt, handle)]))[of.run_key]


async def see(
    engine: AirflowEngine, of: Submission, handle: str | None = None, phases: Collection[Phase] = ENDS
) -> Observation:
    """Observe until the run is in one of these phases."""
    seen: list[Observation] = []

    async def there() -> bool:
        try:
            seen.append(await observe(engine, of, handle))
        except EngineUnavailable:  # a busy machine: the observer asks again as well
            return False
        return seen[-1].phase in phases

    await until(there, f"{of.run_key} in one of {', '.join(phases)}")
    return seen[-1]


async def run_of(harness: Harness, dag_id: str, dag_run_id: str) -> dict[str, Any]:
    """The run as Airflow answers it, or an empty one."""
    return await harness.api("GET", f"/dags/{dag_id}/dagRuns/{dag_run_id}")
