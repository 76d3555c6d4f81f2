"""The Airflow engine behind the port."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from signalbox_chassis.runtime import crash_points
from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.definitions.work import AirflowWork
from signalbox_executor.engines.airflow import dates, ends, runs
from signalbox_executor.engines.airflow.answers import QUEUED, DagRun, TaskInstance, TaskInstances, each
from signalbox_executor.engines.airflow.client import AirflowClient
from signalbox_executor.engines.airflow.logs import LogReader
from signalbox_executor.engines.airflow.names import handle_of, is_ours, parts_of, was_stopped
from signalbox_executor.engines.airflow.overview import Overview
from signalbox_executor.engines.airflow.tracking import RunName, RunTracker
from signalbox_executor.engines.capabilities import Progress, SelectionPage
from signalbox_executor.engines.port import (
    EngineRefused,
    EngineThrottled,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Submission,
    Watched,
)

log = logging.getLogger(__name__)
MAX_ENDS: Final = 200
"""So many ends are read in one pass; the others run on until the next."""
ENDS_AT_ONCE: Final = 8
END_TRIES: Final = 10
"""After so many passes an end whose details cannot be read is reported without them."""
MAX_REMEMBERED: Final = 10_000
STOP_TRIES: Final = 3
STOP_PAUSE_SECONDS: Final = 0.3


class AirflowEngine:
    """DAG runs of one deployment. The run key is the DAG run's id."""

    def __init__(self, client: AirflowClient, *, fresh_seconds: float = 0.5) -> None:
        self._client = client
        self._tracker = RunTracker(client, fresh_seconds=fresh_seconds)
        self._ends = ends.EndReader(client)
        self._logs = LogReader(client)
        self._overview = Overview(client)
        self._names: OrderedDict[str, RunName] = OrderedDict()
        self._ended: OrderedDict[str, tuple[DagRun, Observation]] = OrderedDict()
        self._end_failures: dict[str, int] = {}

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    @property
    def tracker(self) -> RunTracker:
        return self._tracker

    async def submit(self, submission: Submission) -> Handle:
        """As the port says; a refusal names the field of the work."""
        work = submission.work
        if not isinstance(work, AirflowWork):
            words = f"{work.kind!r} is not allowed: only 'airflow' runs here"
            raise EngineRefused(self._client.name, words, field="work.kind", value=work.kind)
        start = runs.clear if work.mode == "clear" else runs.trigger
        run = await start(self._client, submission, work)
        crash_points.point("airflow.answered")
        self._tracker.remember(run)
        self._remember(submission.run_key, (run.dag_id, run.dag_run_id))
        return handle_of(run.dag_id, run.dag_run_id)

    async def rerun(self, ended: Watched, submission: Submission) -> Handle:
        """Run the failed tasks of an ended run again, in place."""
        name = (await self._find_names([ended])).get(ended.run_key)
        if name is None or not isinstance(submission.work, AirflowWork):
            words = f"there is no run of {ended.run_key} to be run again"
            raise EngineRefused(self._client.name, words, field="run_key", value=ended.run_key)
        changes = {"mode": "clear", "dag_id": name[0], "dag_run_id": name[1]}
        return await self.submit(replace(submission, work=submission.work.model_copy(update=changes)))

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        names = await self._find_names(watched)
        seen = await self._tracker.look(set(names.values()))
        found: dict[str, Observation] = {}
        ended: list[tuple[str, DagRun, datetime]] = []
        for one in watched:
            name = names.get(one.run_key)
            if name is None:
                found[one.run_key] = ends.lost(one.run_key)
                continue
            sighting = seen.get(name)
            if sighting is None:
                continue  # its answer cannot be read: nothing is known of it
            run = sighting.run
            if run is None or not self._may_be(run, one.run_key):
                found[one.run_key] = ends.lost(one.run_key)
            elif run.ended:
                ended.append((one.run_key, run, sighting.at))
            else:
                found[one.run_key] = ends.active(run, one.run_key, sighting.at)
        return {key: self._linked(one) for key, one in {**found, **await self._read_ends(ended)}.items()}

    async def cancel(self, watched: Watched) -> None:
        """Set the run to failed, unless it has ended. A run that Airflow does not know is left alone."""
        names = await self._find_names([watched])
        name = names.get(watched.run_key)
        if name is None:
            return
        run = await runs.find_run(self._client, *name)
        if run is None or run.ended or was_stopped(run.note, watched.run_key):
            return
        self._tracker.forget(name)
        await self._stop(run, watched.run_key)
        self._tracker.forget(name)

    async def _stop(self, run: DagRun, run_key: str) -> None:
        """Airflow's scheduler and its API may deadlock on a run: the API then answers 500, and nothing was changed."""
        for left in range(STOP_TRIES - 1, -1, -1):
            try:
                await runs.stop(self._client, run, run_key)
                return
            except EngineUnavailable:
                if not left:
                    raise
            await asyncio.sleep(STOP_PAUSE_SECONDS)

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        names = await self._find_names([watched])
        name = names.get(watched.run_key)
        return LogPage(offset, b"") if name is None else await self._logs.read(name, offset, limit)

    async def explain_waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        """Why runs stay queued in Airflow."""
        names = await self._find_names(watched)
        seen = await self._tracker.look(set(names.values()))
        queued = {
            run_key: name
            for run_key, name in names.items()
            if (sighting := seen.get(name)) is not None and sighting.run is not None and sighting.run.state == QUEUED
        }
        return await self._overview.waiting(queued)

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        """How many tasks of each run have ended, and the state of each task."""
        names = await self._find_names(watched)
        return await self._overview.progress(names, self._tracker.queued_at(names.values()))

    async def annotate(self, watched: Watched, note: str) -> None:
        names = await self._find_names([watched])
        name = names.get(watched.run_key)
        run = await runs.find_run(self._client, *name) if name is not None else None
        if run is None:
            words = f"Airflow has no run of {watched.run_key}"
            raise EngineRefused(self._client.name, words, field="run_key", value=watched.run_key)
        await runs.annotate(self._client, run, note)

    async def pause_dag(self, dag_id: str, *, paused: bool) -> None:
        await self._overview.pause(dag_id, paused=paused)

    async def resolve_selection(self, selection: LookUp, page: str | None = None) -> SelectionPage:
        """The runs of a DAG at the dates of a selection."""
        return await dates.resolve(self._client, selection, page)

    async def test_connection(self) -> Mapping[str, JsonValue]:
        return await self._overview.test()

    async def close(self) -> None:
        await self._client.close()

    async def _find_names(self, watched: Sequence[Watched]) -> dict[str, RunName]:
        """DAG and run of each key: from its handle, from memory, or looked up. Keys that have no run are left out."""
        names: dict[str, RunName] = {}
        for one in watched:
            name = (parts_of(one.handle) if one.handle else None) or self._names.get(one.run_key)
            name = name or await self._look_up(one.run_key)
            if name is not None:
                names[one.run_key] = name
        return names

    async def _look_up(self, run_key: str) -> RunName | None:
        """Find a run whose DAG we do not know: only a submit without an answer leaves such a key.

        No version lists runs by their ids, but every one lists task instances so. A run without any task stays unfound.
        """
        body = {"dag_run_ids": [run_key], "page_limit": 100}
        answer = await self._client.call("POST", "/dags/~/dagRuns/~/taskInstances/list", body=body)
        tasks = each(TaskInstance, self._client.read(TaskInstances, answer).task_instances)
        for dag_id in sorted({task.dag_id for task in tasks if task.dag_run_id == run_key and task.dag_id}):
            run = await runs.find_run(self._client, dag_id, run_key)
            if run is not None and is_ours(run, run_key):
                self._tracker.remember(run)
                self._remember(run_key, (dag_id, run_key))
                return dag_id, run_key
        return None

    def _linked(self, seen: Observation) -> Observation:
        """With Airflow's own page of the run."""
        name = parts_of(seen.handle) if seen.handle else None
        return replace(seen, handle_url=self._client.page_of(*name)) if name else seen

    def _may_be(self, run: DagRun, run_key: str) -> bool:
        """Whether this run is what the key stands for: started by it, or cleared by it."""
        return run.dag_run_id != run_key or is_ours(run, run_key)

    async def _read_ends(self, ended: Sequence[tuple[str, DagRun, datetime]]) -> dict[str, Observation]:
        at_once = asyncio.Semaphore(ENDS_AT_ONCE)

        async def read(run_key: str, run: DagRun, at: datetime) -> Observation:
            known = self._ended.get(run_key)
            if known is not None and known[0] == run:
                return known[1]
            async with at_once:
                return await self._read_end(run_key, run, at)

        read_now, later = ended[:MAX_ENDS], ended[MAX_ENDS:]
        observed = await asyncio.gather(*(read(*one) for one in read_now))
        found = {run_key: ends.active(run, run_key, at) for run_key, run, at in later}
        return {**found, **{one.run_key: one for one in observed}}

    async def _read_end(self, run_key: str, run: DagRun, at: datetime) -> Observation:
        """The end with its details. One run whose details cannot be read does not hide the others."""
        try:
            end = await self._ends.read(run, run_key, at)
        except (EngineUnavailable, EngineThrottled) as error:
            failures = self._end_failures[run_key] = self._end_failures.get(run_key, 0) + 1
            if failures < END_TRIES:
                log.info("the end of %s cannot be read yet: %s", run_key, error)
                return ends.active(run, run_key, at)
            end = ends.without_details(run, run_key, at, str(error))
        self._end_failures.pop(run_key, None)
        self._ended[run_key] = (run, end)
        while len(self._ended) > MAX_REMEMBERED:
            self._ended.popitem(last=False)
        return end

    def _remember(self, run_key: str, name: RunName) -> None:
        self._names[run_key] = name
        while len(self._names) > MAX_REMEMBERED:
            self._names.popitem(last=False)
