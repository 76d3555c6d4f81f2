"""Which runs a DAG has at given logical dates. Changes nothing on Airflow."""

from datetime import datetime
from typing import Final

from signalbox_contracts.definitions.selection import AirflowRuns, LookUp
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_executor.engines.airflow.answers import Dag, DagRun
from signalbox_executor.engines.airflow.client import AirflowClient, segment
from signalbox_executor.engines.airflow.runs import runs_between
from signalbox_executor.engines.capabilities import SelectionPage
from signalbox_executor.engines.port import EngineRefused

PAGE_DATES: Final = 100


async def resolve(client: AirflowClient, selection: LookUp, page: str | None = None) -> SelectionPage:
    """A page of dates, each with the run it has or none. Raises `EngineRefused` for a DAG that is not there."""
    if not isinstance(selection, AirflowRuns):
        words = f"{selection.kind}: an Airflow has runs of DAGs"
        raise EngineRefused(client.name, words, field="selection.kind", value=selection.kind)
    dag = await _find_dag(client, selection.dag_id)
    dates = sorted(set(selection.dates))
    offset = int(page or 0)
    chosen = dates[offset : offset + PAGE_DATES]
    runs = {run.logical_date: run for run in await runs_between(client, dag.dag_id, chosen[0], chosen[-1])}
    items = tuple(_item(dag, at, runs.get(at)) for at in chosen)
    return SelectionPage(items, str(offset + PAGE_DATES) if offset + PAGE_DATES < len(dates) else None)


async def _find_dag(client: AirflowClient, dag_id: str) -> Dag:
    answer = await client.call("GET", f"/dags/{segment(dag_id)}")
    if answer.status in (403, 404):
        words = f"there is no DAG {dag_id}" if answer.status == 404 else f"DAG {dag_id}: {answer.reason()}"
        raise EngineRefused(client.name, words, field="selection.dag_id", value=dag_id)
    return client.read(Dag, answer)


def _item(dag: Dag, at: datetime, run: DagRun | None) -> ResolvedItem:
    seconds = None
    if run is not None and run.start_date and run.end_date:
        seconds = max(0.0, (run.end_date - run.start_date).total_seconds())
    details = {
        "object": "dag_run", "paused": dag.is_paused or None, "import_errors": dag.has_import_errors or None,
        "seconds": seconds,
    }  # fmt: skip
    return ResolvedItem(
        key=f"{dag.dag_id}@{at:%Y-%m-%dT%H:%M:%SZ}"[-255:],
        target=run.dag_run_id if run else "",
        engine_state=run.state if run else "",
        nominal_at=at,
        last_modified=run.queued_at.isoformat() if run and run.queued_at else None,
        details={name: value for name, value in details.items() if value is not None},
    )
