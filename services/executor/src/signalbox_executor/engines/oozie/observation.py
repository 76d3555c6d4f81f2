"""The states of many runs in as few calls as Oozie offers: ids repeated in a filter, 500 a call."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.oozie.answers import (
    BundleAnswer,
    CoordinatorActionAnswer,
    CoordinatorAnswer,
    NodeAnswer,
    WorkflowAnswer,
)
from signalbox_executor.engines.oozie.handles import OozieId, Run, parse_handle
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import PAGE, Found, OozieServer
from signalbox_executor.engines.oozie.states import (
    ACTION_ENDS,
    action_phase,
    coordinator_phase,
    failed_nodes,
    kill_node,
    workflow_phase,
)
from signalbox_executor.engines.port import ENDS, EngineUnavailable, Observation, Watched, bounded

log = logging.getLogger(__name__)
DETAILS_PER_PASS: Final = 200
"""How many ended runs are read whole in one pass, to say why they ended; the others are read in the next pass."""
END_TRIES: Final = 10
"""After so many passes an end that cannot be read whole is reported without its reason."""
MAX_REMEMBERED: Final = 10_000
CHILDREN: Final = 3
"""How deep sub-workflows are followed for the reason of a failure."""
_CAUSES: Final = {Phase.SUCCEEDED: EndCause.COMPLETED, Phase.FAILED: EndCause.FAILED, Phase.KILLED: EndCause.KILLED}


class Observer:
    """Observes runs on one server. `stopped` knows the keys that we asked to end."""

    def __init__(self, server: OozieServer, stopped: "set[str] | frozenset[str]" = frozenset()) -> None:
        self._server = server
        self._stopped = stopped
        self._end_failures: dict[str, int] = {}

    async def observe(self, watched: Sequence[Watched]) -> dict[str, Observation]:
        """One observation for each of these, by run key. A run in a state that is not known is left out."""
        seen: dict[str, Observation] = {}
        runs = await self._runs(watched, seen)
        workflows = {key: run for key, run in runs.items() if run.id.type == "workflow"}
        others = [(key, run) for key, run in runs.items() if run.id.type != "workflow"]
        unread = await self._actions([(key, run) for key, run in others if run.id.action], workflows, seen)
        await self._workflows(workflows, seen)
        await self._coordinators(
            [(key, run.id) for key, run in others if run.id.type == "coordinator" and not run.id.action], seen
        )
        await self._bundles([(key, run.id) for key, run in others if run.id.type == "bundle"], seen)
        if unread and not seen:
            raise unread[0]
        for key in [key for key, one in seen.items() if one.phase is Phase.OTHER]:
            log.warning("%s is in a state that is not known: nothing is written of it", seen.pop(key).handle)
        return seen

    async def _runs(self, watched: Sequence[Watched], seen: dict[str, Observation]) -> dict[str, Run]:
        """Which run each key is; a key without a handle is looked up by its external id."""
        found: dict[str, Run] = {}
        unknown = [run for run in watched if run.handle is None]
        ids = await asyncio.gather(*(self._server.workflow_of_key(run.run_key) for run in unknown))
        looked_up = await self._server.find_workflows([id for id in ids if id])
        for run, id in zip(unknown, ids, strict=True):
            job = looked_up.jobs.get(id or "")
            if id in looked_up.unread:
                continue
            if job is None:
                seen[run.run_key] = _lost(run.run_key, None, "Oozie knows no workflow with this key")
            else:
                found[run.run_key] = Run(parse_handle(job.id).id, job.run)
        for run in watched:
            if run.handle is not None:
                try:
                    found[run.run_key] = parse_handle(run.handle)
                except ValueError as error:
                    seen[run.run_key] = _lost(run.run_key, run.handle, str(error))
        return found

    async def _workflows(self, runs: Mapping[str, Run], seen: dict[str, Observation]) -> None:
        found = await self._server.find_workflows([str(run.id) for run in runs.values()])
        jobs = found.jobs
        ended: list[tuple[str, Run]] = []
        for key, run in runs.items():
            job = jobs.get(str(run.id))
            if str(run.id) in found.unread:
                continue
            if job is None:
                seen[key] = _lost(key, run.handle, "Oozie does not know the workflow: purged, or another database")
            elif job.run != run.number:
                seen[key] = _lost(key, run.handle, _other_run(run, job.run))
            elif job.status in ("KILLED", "FAILED"):
                ended.append((key, run))
            else:
                seen[key] = self._of_workflow(key, run, job)
        await self._read_ends(ended, jobs, seen)

    async def _read_ends(
        self, ended: Sequence[tuple[str, Run]], jobs: Mapping[str, WorkflowAnswer], seen: dict[str, Observation]
    ) -> None:
        """KILLED is also how a workflow fails, so each is read whole, once: it is not watched any more then."""
        now = ended[:DETAILS_PER_PASS]
        found = await asyncio.gather(*(self._read_end(key, run, jobs[str(run.id)]) for key, run in now))
        seen.update({one.run_key: one for one in found})
        for key, run in ended[DETAILS_PER_PASS:]:
            seen[key] = self._later(key, run, jobs[str(run.id)])

    async def _read_end(self, key: str, run: Run, listed: WorkflowAnswer) -> Observation:
        """How a run ended. One that cannot be read whole hides no other: its end is reported without its reason."""
        try:
            job = await self._server.workflow(str(run.id))
        except (EngineUnavailable, OozieRefused) as error:
            failures = self._end_failures.get(key, 0) + 1
            if failures < END_TRIES:
                log.warning("how %s ended cannot be read yet: %s", run.handle, error)
                if len(self._end_failures) >= MAX_REMEMBERED:
                    self._end_failures.clear()
                self._end_failures[key] = failures
                return self._later(key, run, listed)
            return self._of_workflow(key, run, listed, f"how it ended cannot be read: {error}")
        self._end_failures.pop(key, None)
        if job is None or job.run != run.number:
            return _lost(key, run.handle, _other_run(run, job.run if job else run.number))
        return self._of_workflow(key, run, job, await self._reason(job))

    def _later(self, key: str, run: Run, listed: WorkflowAnswer) -> Observation:
        """An ended run whose end is read in a later pass."""
        return self._observation(key, Phase.RUNNING, run.handle, started_at=listed.started_at)

    def _of_workflow(self, key: str, run: Run, job: WorkflowAnswer, message: str = "") -> Observation:
        phase = workflow_phase(job.status)
        if job.status == "KILLED" and kill_node(job) is not None:
            phase = Phase.FAILED
        return self._observation(
            key, phase, run.handle, message, job.started_at, job.ended_at if phase in ENDS else None
        )

    async def _reason(self, job: WorkflowAnswer, depth: int = 0) -> str:
        """Why a run ended without success: its kill node's message, then each failed action, children included."""
        end = kill_node(job)
        reasons = [f"{end.name}: {end.error_message}"] if end is not None else []
        for node in failed_nodes(job)[:5]:
            reasons.append(_words(node))
            if node.type == "sub-workflow" and node.external_id and depth < CHILDREN:
                reasons.append(await self._reason_of_child(node.external_id, depth + 1))
        if not reasons:
            return "killed" if job.status == "KILLED" else f"Oozie says {job.status}"
        return "; ".join(part[:700] for part in reasons if part)

    async def _reason_of_child(self, id: str, depth: int) -> str:
        try:
            child = await self._server.workflow(id)
        except (EngineUnavailable, OozieRefused) as error:
            return f"child {id}: it cannot be read: {error}"
        return f"child {id}: {await self._reason(child, depth)}" if child else ""

    async def _actions(
        self, runs: Sequence[tuple[str, Run]], workflows: dict[str, Run], seen: dict[str, Observation]
    ) -> Sequence[Exception]:
        """Actions of coordinators that had no workflow yet: with one, they are observed as that workflow.

        One that cannot be read is left out, and why is returned.
        """
        numbers: dict[str, list[int]] = {}
        for key, run in runs:
            if run.id.number is None:
                seen[key] = _lost(key, run.handle, "it is no action of a coordinator")
            else:
                numbers.setdefault(run.id.job, []).append(run.id.number)
        pages = await asyncio.gather(*(self._page_of(job, wanted) for job, wanted in numbers.items()))
        actions = {action.id: action for page, _ in pages for action in page}
        unread = {id: error for _, errors in pages for id, error in errors.items()}
        found = await self._server.find_workflows([a.external_id for a in actions.values() if a.external_id])
        for key, run in runs:
            action = actions.get(str(run.id))
            if key in seen or (action is not None and action.external_id in found.unread):
                continue
            job = found.jobs.get(action.external_id or "") if action else None
            if (error := unread.get(str(run.id))) is not None:
                log.warning("%s cannot be read now: %s", run.handle, error)
            elif action is None:
                seen[key] = _lost(key, run.handle, "Oozie does not know the action")
            elif job is not None and job.external_id == key:
                workflows[key] = Run(parse_handle(job.id).id, job.run)
            elif job is not None:
                seen[key] = _lost(key, run.handle, f"its workflow {job.id} was started by another rerun")
            else:
                seen[key] = self._of_action(key, run, action)
        return list(unread.values())

    async def _page_of(
        self, job: str, numbers: Sequence[int]
    ) -> tuple[Sequence[CoordinatorActionAnswer], Mapping[str, Exception]]:
        """The actions with these numbers, in one call if they lie close together; and those that cannot be read."""
        first, last = min(numbers), max(numbers)
        if last - first < PAGE:
            with suppress(EngineUnavailable):  # one action that cannot be read spoils the page
                found = await self._server.coordinator(job, offset=first, length=last - first + 1)
                actions = found.actions if found else ()
                if {action.number for action in actions} >= set(numbers):
                    return actions, {}
        ids = [f"{job}@{number}" for number in numbers]
        single = await asyncio.gather(*map(self._server.coordinator_action, ids), return_exceptions=True)
        unread: dict[str, Exception] = {}
        read: list[CoordinatorActionAnswer] = []
        for id, action in zip(ids, single, strict=True):
            if isinstance(action, EngineUnavailable | OozieRefused):
                unread[id] = action
            elif isinstance(action, BaseException):
                raise action
            elif action is not None:
                read.append(action)
        return read, unread

    def _of_action(self, key: str, run: Run, action: CoordinatorActionAnswer) -> Observation:
        phase = action_phase(action.status)
        if action.status in ACTION_ENDS:
            message = f"the action is {action.status}"
            if action.error_code or action.error_message:
                message += f": {action.error_code or ''} {action.error_message or ''}".rstrip()
        else:
            message = f"{action.status}, waits for {action.missing}" if action.missing else action.status
        return self._observation(key, phase, run.handle, message)

    async def _coordinators(self, ids: Sequence[tuple[str, OozieId]], seen: dict[str, Observation]) -> None:
        self._add_jobs(ids, await self._server.find_coordinators([str(id) for _, id in ids]), seen)

    async def _bundles(self, ids: Sequence[tuple[str, OozieId]], seen: dict[str, Observation]) -> None:
        self._add_jobs(ids, await self._server.find_bundles([str(id) for _, id in ids]), seen)

    def _add_jobs(
        self,
        ids: Sequence[tuple[str, OozieId]],
        found: Found[CoordinatorAnswer] | Found[BundleAnswer],
        seen: dict[str, Observation],
    ) -> None:
        for key, id in ids:
            if str(id) not in found.unread:
                seen[key] = self._of_job(key, id, found.jobs.get(str(id)))

    def _of_job(self, key: str, id: OozieId, job: CoordinatorAnswer | BundleAnswer | None) -> Observation:
        """A coordinator or bundle. Its KILLED may mean that all of its actions failed, so it counts as failed."""
        if job is None:
            return _lost(key, str(id), "Oozie does not know it: purged, or another database")
        phase, message = coordinator_phase(job.status), f"Oozie says {job.status}"
        if job.status == "KILLED" and key not in self._stopped:
            phase, message = Phase.FAILED, "Oozie says KILLED: every action failed, or somebody killed it"
        return self._observation(key, phase, str(id), message)

    def _observation(
        self,
        key: str,
        phase: Phase,
        handle: str,
        message: str = "",
        started_at: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> Observation:
        cause = _CAUSES.get(phase)
        if phase is Phase.KILLED and key in self._stopped:
            cause = EndCause.CANCELLED
        return Observation(
            run_key=key,
            phase=phase,
            handle=handle,
            at=datetime.now(UTC),
            cause=cause,
            message=bounded(message),
            started_at=started_at,
            ended_at=ended_at,
            handle_url=self._server.page_of(handle),
        )


def _lost(key: str, handle: str | None, message: str) -> Observation:
    return Observation(run_key=key, phase=Phase.LOST, handle=handle, at=datetime.now(UTC), message=bounded(message))


def _other_run(run: Run, number: int) -> str:
    return f"run {run.number} of {run.id} has ended, and Oozie only knows run {number}: how it ended is not known"


def _words(node: NodeAnswer) -> str:
    code, text = node.error_code or "", node.error_message or node.external_status or ""
    text = text.removeprefix(f"{code}: ")
    return f"{node.name} {node.status}: {code} {text}".rstrip(": ")
