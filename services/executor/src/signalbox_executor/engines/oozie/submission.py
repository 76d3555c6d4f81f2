"""Starts new Oozie jobs, each run key at most once, although Oozie itself never refuses a copy.

A workflow is submitted without being started and carries the run key as its external id. The copies of one key are
then listed, all but one are killed while they are inert, and the one is started. A crash anywhere leaves an inert job
at worst. Bundles go the same way, by a property of their configuration. A coordinator starts itself, so a copy can
only be looked for before it is sent again.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from signalbox_chassis.runtime import crash_points
from signalbox_contracts.definitions.work import OozieWork
from signalbox_executor.engines.oozie.answers import BundleAnswer, CoordinatorAnswer, IdAnswer, WorkflowAnswer, entries
from signalbox_executor.engines.oozie.configuration import (
    APPLICATION_PATHS,
    EXTERNAL_ID,
    RUN_KEY,
    USER,
    run_key_of,
    why_not_allowed,
)
from signalbox_executor.engines.oozie.handles import parse_id
from signalbox_executor.engines.oozie.notifications import Notifications
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.oozie.states import never_started
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Handle, Submission, bounded

log = logging.getLogger(__name__)
ROUNDS: Final = 5
"""How often the copies of a key are sorted out before we leave it to the next try."""
CLOCK_GRAIN: Final = timedelta(seconds=3)
"""Oozie's times have a grain of a second, and a job shows up a moment after the time it was created at."""
COPY_WINDOW: Final = timedelta(hours=24)
"""How far back copies of a key are looked for when one is found that never started."""
GRACE_SECONDS: Final = 2.0
"""How long another copy that nobody started may still be started by somebody who saw no second one."""
MAX_LISTED: Final = 20_000
KILL_SECONDS: Final = 30.0
"""A command that cannot lock the job is queued by Oozie for ten seconds and more, and the call still answers 200."""
CANDIDATES: Final = 200


def check_work(engine: str, work: OozieWork) -> None:
    """Refuse what could never be sent, with the field and its value."""
    for name, value in work.properties.items():
        if reason := why_not_allowed(name, value):
            raise EngineRefused(engine, f"{name[:200]!r}: {reason}", field=f"work.properties.{name[:100]}")
    if work.mode == "submit" and work.skip_nodes:
        raise EngineRefused(engine, "a new job skips no nodes", field="work.skip_nodes")


def refused(engine: str, error: OozieRefused, field: str, value: str = "") -> EngineRefused:
    """Oozie's refusal as the port's."""
    return EngineRefused(engine, bounded(str(error)), field=field, value=value[:200])


class Submitter:
    """Submits new jobs to one server."""

    def __init__(self, server: OozieServer, notifications: Notifications) -> None:
        self._server = server
        self._notifications = notifications
        self._rest = server.rest

    async def submit(self, submission: Submission, work: OozieWork) -> Handle:
        """As the port says. Raises `OozieRefused` only for reads."""
        if work.object == "workflow":
            return await self._workflow(submission, work)
        if work.object == "bundle":
            return await self._bundle(submission, work)
        return await self._coordinator(submission, work)

    async def _workflow(self, submission: Submission, work: OozieWork) -> Handle:
        key = submission.run_key
        for _ in range(ROUNDS):
            since: datetime | None = self._rest.server_now() - CLOCK_GRAIN
            found = await self._server.workflow_of_key(key)
            if found is None:
                id = await self._post(work, self._properties(submission, work))
                crash_points.point("oozie.submitted")
            else:
                id, since = found, None
            job = await self._server.workflow(id)
            if job is None:
                continue
            if found is not None and _started(job):
                return id
            chosen = await self._choose(key, job, since)
            if chosen is not None and (never_started(chosen) or await self._start(chosen)):
                return chosen.id
        raise EngineUnavailable(self._rest.name, f"several copies of {key} that cannot be sorted out yet")

    async def _choose(self, key: str, job: WorkflowAnswer, since: datetime | None) -> WorkflowAnswer | None:
        """The copy of this key that shall run: the one that runs already, else the first. The others are killed.

        A copy that was killed before it started is the answer only if there is no other: a cancel was first.
        None: look again, because one of the others started after all.
        """
        copies = {job.id: job} | await self._copies(key, job, since)
        started = sorted((copy for copy in copies.values() if _started(copy)), key=lambda copy: copy.id)
        inert = sorted((copy for copy in copies.values() if copy.status == "PREP"), key=lambda copy: copy.id)
        if len(started) > 1:
            log.error("key %s has %d runs on Oozie: %s", key, len(started), [copy.id for copy in started])
        if not started and len(inert) > 1:
            return await self._choose_first(inert)
        chosen = (started or inert or sorted(copies.values(), key=lambda copy: copy.id))[0]
        for copy in inert:
            if copy is not chosen and not await self._kill_inert(copy.id):
                return None
        return chosen

    async def _choose_first(self, inert: Sequence[WorkflowAnswer]) -> WorkflowAnswer | None:
        """The first of several copies that nobody started, once the others are dead.

        Whoever did not see the first one may just be starting another, and killing that would end the work itself. So
        the others have some time to start; one that does is found by looking again.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        ids = [copy.id for copy in inert]
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            now = await self._server.workflows(ids)
            if any(_started(copy) for copy in now.values()):
                return None
        for copy in inert[1:]:
            if not await self._kill_inert(copy.id):
                return None
        return inert[0]

    async def _copies(self, key: str, job: WorkflowAnswer, since: datetime | None) -> dict[str, WorkflowAnswer]:
        """Other workflows with this key. `since`: nobody had made one before that moment.

        Every other copy was made after a look-up that found none, so after it only the newest jobs matter. Where we
        found a copy that never started, we look a day back.
        """
        created = job.created_at or self._rest.server_now()
        since = since or created - COPY_WINDOW
        filters: dict[str, str] = {"user": self._rest.user}
        if job.app_name and not set(job.app_name) & set("=;"):
            filters["name"] = job.app_name
        found: dict[str, WorkflowAnswer] = {}
        listed = 0
        async for page in self._server.list_pages("wf", filters, page=100):
            jobs = entries(WorkflowAnswer, page.workflows)
            found |= {other.id: other for other in jobs if other.external_id == key}
            listed += len(page.workflows)
            if listed >= MAX_LISTED or any(other.created_at and other.created_at < since for other in jobs):
                break
        return found

    async def _kill_inert(self, id: str) -> bool:
        """Kill a copy that was not started; False if it started meanwhile."""
        await self._rest.put(f"v2/job/{id}", action="kill")
        deadline = time.monotonic() + KILL_SECONDS
        while (job := await self._server.workflow(id)) is not None and job.status == "PREP":
            if time.monotonic() > deadline:
                raise EngineUnavailable(self._rest.name, f"{id}, a second copy that never started, cannot be killed")
            await asyncio.sleep(0.1)
        return job is None or never_started(job)

    async def _start(self, job: WorkflowAnswer) -> bool:
        """Start a chosen copy; False if another of us killed it first."""
        if _started(job):
            return True
        crash_points.point("oozie.before_start")
        try:
            await self._rest.put(f"v2/job/{job.id}", action="start")
        except OozieRefused as error:
            if error.code != "E0801":  # it runs already
                raise
        crash_points.point("oozie.started")
        now = await self._server.workflow(job.id)
        return now is None or not never_started(now)

    async def _bundle(self, submission: Submission, work: OozieWork) -> Handle:
        """A bundle stays PREP until it is started, and lists carry its configuration with our key."""
        copies = await self._bundles_of(submission.run_key)
        if not copies:
            id = await self._post(work, self._properties(submission, work))
            crash_points.point("oozie.submitted")
            copies = await self._bundles_of(submission.run_key) or [BundleAnswer(id=id, status="PREP")]  # pyright: ignore[reportCallIssue]
        started = [copy for copy in copies if copy.status not in ("PREP", "KILLED")]
        chosen = (started or [copy for copy in copies if copy.status == "PREP"] or copies)[0]
        for copy in copies:
            if copy.id != chosen.id and copy.status == "PREP":
                await self._rest.put(f"v2/job/{copy.id}", action="kill")
        if chosen.status == "PREP":
            crash_points.point("oozie.before_start")
            await self._rest.put(f"v2/job/{chosen.id}", action="start")
            crash_points.point("oozie.started")
        return chosen.id

    async def _bundles_of(self, key: str) -> list[BundleAnswer]:
        """Bundles of this key among the newest of our user, first made first."""
        found: list[BundleAnswer] = []
        async for page in self._server.list_pages("bundle", {"user": self._rest.user}, page=CANDIDATES):
            found += [job for job in entries(BundleAnswer, page.bundles) if run_key_of(job.conf) == key]
            break
        return sorted(found, key=lambda job: job.id)

    async def _coordinator(self, submission: Submission, work: OozieWork) -> Handle:
        """A coordinator starts itself. Copies of ours are looked for among the newest coordinators of our user."""
        if submission.resent and (found := await self._coordinator_of(submission.run_key)) is not None:
            return found
        id = await self._post(work, self._properties(submission, work))
        crash_points.point("oozie.submitted")
        return id

    async def _coordinator_of(self, key: str) -> str | None:
        """Lists carry no configuration, so each candidate is read: newest first, at most as many as are looked at."""
        async for page in self._server.list_pages("coordinator", {"user": self._rest.user}, page=CANDIDATES):
            candidates = entries(CoordinatorAnswer, page.coordinators)
            coordinators = await asyncio.gather(*(self._server.coordinator(job.id) for job in candidates))
            mine = sorted(job.id for job in coordinators if job is not None and run_key_of(job.conf) == key)
            return mine[0] if mine else None
        return None

    async def _post(self, work: OozieWork, properties: Mapping[str, str]) -> str:
        try:
            id = (await self._rest.post(IdAnswer, "v2/jobs", properties)).id
            return str(parse_id(id))
        except OozieRefused as error:
            raise refused(self._rest.name, error, "work.application_path", work.application_path or "") from error
        except ValueError as error:
            raise EngineUnavailable(self._rest.name, f"an answer that names no job: {error}") from None

    def _properties(self, submission: Submission, work: OozieWork) -> dict[str, str]:
        path = APPLICATION_PATHS[work.object]
        keys = {EXTERNAL_ID: submission.run_key} if work.object == "workflow" else {}
        trace = {"signalbox.traceparent": submission.traceparent} if submission.traceparent else {}
        return {
            **self._notifications.properties(submission.run_key, work.properties, object=work.object),
            **work.properties,
            path: work.application_path or "",
            USER: self._rest.user,
            RUN_KEY: submission.run_key,
            **keys,
            **trace,
        }


def _started(job: WorkflowAnswer) -> bool:
    return job.status != "PREP" and not never_started(job)
