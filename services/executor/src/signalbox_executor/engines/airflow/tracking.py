"""Where runs are now, in as few calls as Airflow offers.

One call lists what changed since the last pass (`updated_at`, with an overlap, by Airflow's own clock). If more changed
than one page holds, two more list what is active and what has ended since. From time to time the active runs are listed
anyway: a deleted run never changes again. Few runs are asked for one by one.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from signalbox_executor.engines.airflow.answers import DagRun, DagRuns, each
from signalbox_executor.engines.airflow.client import AirflowClient, Answer
from signalbox_executor.engines.airflow.runs import find_run
from signalbox_executor.engines.port import AnswerUnreadable

log = logging.getLogger(__name__)
FEW_RUNS: Final = 3
"""So many runs are asked for one by one."""
PAGE_RUNS: Final = 100
"""3.3 gives no more in one page of changes, whatever is asked for."""
MAX_LISTED_RUNS: Final = 5000
CALLS_AT_ONCE: Final = 8
MAX_REMEMBERED: Final = 100_000

RunName = tuple[str, str]
"""DAG id and DAG run id."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A run as Airflow answered, and when. `run` is None where Airflow said that there is none."""

    run: DagRun | None
    at: datetime
    checked: float
    """By the monotonic clock."""


@dataclass
class RunTracker:
    """Remembers what was answered of each run. Safe for one pass at a time; passes queue up."""

    client: AirflowClient
    fresh_seconds: float = 0.5
    """An answer so young is not asked for again."""
    overlap: timedelta = timedelta(seconds=30)
    """How much later than its `updated_at` a change may be committed, and how far Airflow's clocks may differ."""
    list_seconds: float = 30.0
    """How often all active runs are listed even if changes say it all."""
    prefix: str = "sb-"
    calls: int = 0
    """Calls that the last pass took; for tests and metrics."""
    _seen: dict[RunName, Sighting] = field(default_factory=dict[RunName, Sighting])
    _changes_until: datetime | None = None
    _listed_at: float = float("-inf")
    _one_pass: asyncio.Lock = field(default_factory=asyncio.Lock)

    def remember(self, run: DagRun) -> None:
        """An answer from elsewhere, such as that of a submit."""
        self._keep([run])

    def forget(self, name: RunName) -> None:
        """What was answered is out of date: ask again before it is believed."""
        self._seen.pop(name, None)

    def queued_at(self, names: Iterable[RunName]) -> dict[RunName, datetime | None]:
        """When each of these runs was queued last, of those that were seen; in 2.x, when it began."""
        seen = {name: self._seen[name].run for name in names if name in self._seen}
        return {name: run.queued_at or run.start_date for name, run in seen.items() if run is not None}

    async def look(self, names: Collection[RunName]) -> Mapping[RunName, Sighting]:
        """Each of these runs as it is now. Raises the port's errors; a run whose answer is unreadable is left out."""
        async with self._one_pass:
            self.calls = 0
            began = time.monotonic()
            due = self._due(names, began - self.fresh_seconds)
            if len(due) > FEW_RUNS:
                await self._sweep(due)
                due = self._due(names, began)
            await self._ask_singly(due)
            self._trim(names)
            return {name: sighting for name in names if (sighting := self._seen.get(name)) is not None}

    def _due(self, names: Iterable[RunName], since: float) -> list[RunName]:
        """Runs that were not confirmed since; one that has ended, or is gone, stays so until it is forgotten."""
        return [name for name in names if (seen := self._seen.get(name)) is None or seen.checked < since]

    async def _sweep(self, due: Sequence[RunName]) -> None:
        """Confirm as many as possible in at most three calls."""
        now = time.monotonic()
        since, dag_ids = self._changes_until, sorted({dag_id for dag_id, _ in due})
        listing_due = now - self._listed_at > self.list_seconds
        if since is not None and not listing_due and await self._changes(since):
            unchanged = [name for name in due if name in self._seen and self._seen[name].checked < now]
            self._confirm(unchanged)
            return
        active = await self._list(dag_ids, states=["queued", "running"])
        if since is not None:
            await self._list(dag_ids, states=["success", "failed"], end_date_gte=since - self.overlap)
        self._changes_until = active.at if since is None else max(since, active.at)
        self._listed_at = now

    async def _changes(self, since: datetime) -> bool:
        """Read what changed since; False if it is more than a page."""
        query = [("updated_at_gte", (since - self.overlap).isoformat()), ("limit", str(PAGE_RUNS))]
        if await self.client.major() == 3:  # 3.0 knows neither and skips them; 2.x would refuse
            query += [("run_id_pattern", self.prefix), ("run_id_prefix_pattern", self.prefix)]
        answer = await self._call("GET", "/dags/~/dagRuns", query)
        page = self.client.read(DagRuns, answer)
        self._keep(each(DagRun, page.dag_runs))
        if (page.total_entries or len(page.dag_runs)) > len(page.dag_runs):
            return False
        self._changes_until = max(since, answer.at)
        return True

    async def _list(self, dag_ids: Sequence[str], *, states: list[str], end_date_gte: datetime | None = None) -> Answer:
        """Read the runs of these DAGs in these states. This call's page is not capped on any version looked at."""
        body: dict[str, Any] = {"dag_ids": list(dag_ids), "states": states, "page_limit": MAX_LISTED_RUNS}
        if end_date_gte is not None:
            body["end_date_gte"] = end_date_gte.isoformat()
        answer = await self._call("POST", "/dags/~/dagRuns/list", body=body)
        page = self.client.read(DagRuns, answer)
        self._keep(each(DagRun, page.dag_runs))
        return answer

    async def _ask_singly(self, names: Sequence[RunName]) -> None:
        at_once = asyncio.Semaphore(CALLS_AT_ONCE)

        async def ask(name: RunName) -> None:
            async with at_once:
                self.calls += 1
                run = await find_run(self.client, *name)
            if run is None:
                self._seen[name] = Sighting(None, datetime.now(UTC), time.monotonic())
            else:
                self._keep([run])

        failures = await asyncio.gather(*(ask(name) for name in names), return_exceptions=True)
        for name, failure in zip(names, failures, strict=True):
            if isinstance(failure, AnswerUnreadable):
                log.warning("%s of %s cannot be read: %s", name[1], name[0], failure)
                self._seen.pop(name, None)
            elif isinstance(failure, BaseException):
                raise failure

    async def _call(self, method: str, path: str, query: Any = None, body: Any = None) -> Answer:
        self.calls += 1
        return await self.client.call(method, path, query, body)

    def _keep(self, runs: Iterable[DagRun]) -> None:
        now, at = time.monotonic(), datetime.now(UTC)
        for run in runs:
            self._seen[run.dag_id, run.dag_run_id] = Sighting(run, at, now)

    def _confirm(self, names: Iterable[RunName]) -> None:
        """These have not changed since they were seen."""
        now, at = time.monotonic(), datetime.now(UTC)
        for name in names:
            self._seen[name] = Sighting(self._seen[name].run, at, now)

    def _trim(self, wanted: Collection[RunName]) -> None:
        """Forget what nobody watches when too much is remembered."""
        if len(self._seen) > MAX_REMEMBERED:
            kept = set(wanted)
            self._seen = {name: sighting for name, sighting in self._seen.items() if name in kept}
