"""Steps of pipelines: the definition a plan runs, which never changes, and how far each step is."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.states import StepState
from signalbox_planner.graph import COUNTS, Graph, Progress, StepCounts, StepRun, changed_runs, graph_of

_RUN: Final = (
    "state", *COUNTS, "next_position", "unsent_end", "carried", "blamed", "reason", "started_at", "ended_at",
    "ended_order",
)  # fmt: skip
_LOAD: Final = f"SELECT plan_id, {', '.join(_RUN)} FROM step WHERE plan_id = ANY($1) ORDER BY plan_id, index"  # noqa: S608
_SAVE: Final = f"""
INSERT INTO step (plan_id, index, {", ".join(_RUN)}) VALUES ({", ".join(f"${n}" for n in range(1, len(_RUN) + 3))})
ON CONFLICT (plan_id, index) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _RUN)}
"""  # noqa: S608
MAX_CACHED: Final = 256
cached: OrderedDict[UUID, Graph] = OrderedDict()
"""Graphs of the plans this process used last. The graph of a plan never changes."""


async def load(connection: Connection, plan_ids: Sequence[UUID]) -> dict[UUID, Progress]:
    """The steps of these plans."""
    missing = [id for id in plan_ids if id not in cached]
    if missing:
        rows = await connection.fetch("SELECT plan_id, pipeline FROM plan_pipeline WHERE plan_id = ANY($1)", missing)
        for row in rows:
            _remember(row["plan_id"], graph_of(Pipeline.model_validate_json(row["pipeline"])))
    graphs = {id: cached[id] for id in plan_ids}
    runs: dict[UUID, list[StepRun]] = {}
    for row in await connection.fetch(_LOAD, list(plan_ids)):
        runs.setdefault(row["plan_id"], []).append(_run(row))
    return {id: Progress(graphs[id], tuple(runs[id]), saved=tuple(runs[id])) for id in plan_ids}


async def save(connection: Connection, plan_id: UUID, progress: Progress) -> None:
    """Save the steps that changed; of a new plan every step, and its pipeline."""
    if not progress.saved:
        text = progress.graph.pipeline.model_dump_json()  # `kind` says which work it is, and is a default
        await connection.execute("INSERT INTO plan_pipeline VALUES ($1, $2) ON CONFLICT DO NOTHING", plan_id, text)
        _remember(plan_id, progress.graph)
    rows = [(plan_id, index, *_values(run)) for index, run in changed_runs(progress)]
    if rows:
        await connection.executemany(_SAVE, rows)


def _remember(plan_id: UUID, graph: Graph) -> None:
    cached[plan_id] = graph
    while len(cached) > MAX_CACHED:
        cached.popitem(last=False)


def _values(run: StepRun) -> tuple[Any, ...]:
    return (
        run.state.value, *run.counts, run.next_position, run.unsent_end, run.carried.value if run.carried else None,
        list(run.blamed), run.reason, run.started_at, run.ended_at, run.ended_order,
    )  # fmt: skip


def _run(row: Any) -> StepRun:
    return StepRun(
        state=StepState(row["state"]), counts=StepCounts(*(row[name] for name in COUNTS)),
        next_position=row["next_position"], unsent_end=row["unsent_end"],
        carried=StepState(row["carried"]) if row["carried"] else None, blamed=tuple(row["blamed"]),
        reason=row["reason"], started_at=row["started_at"], ended_at=row["ended_at"], ended_order=row["ended_order"],
    )  # fmt: skip
