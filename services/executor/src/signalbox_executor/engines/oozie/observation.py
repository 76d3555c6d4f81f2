"""The states of many runs in as few calls as Oozie offers: ids repeated in a filter, 500 a call."""

import asyncio
from collections.abc import Mapping, Sequence
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
from signalbox_executor.engines.oozie.server import PAGE, OozieServer
from signalbox_executor.engines.oozie.states import (
    ACTION_ENDS,
    action_phase,
    coordinator_phase,
    failed_nodes,
    kill_node,
    workflow_phase,
)
from signalbox_executor.engines.port import ENDS, EngineUnavailable, Observation, Watched, bounded

DETAILS_PER_PASS: Final = 200
"""How many ended runs are read whole in one pass, to say why they ended; the others are read in the next pass."""
CHILDREN: Final = 3
"""How deep sub-workflows are followed for the reason of a failure."""
_CAUSES: Final = {Phase.SUCCEEDED: EndCause.COMPLETED, Phase.FAILED: EndCause.FAILED, Phase.KILLED: EndCause.KILLED}


class Observer:
    """Observes runs on one server. `stopped` knows the keys that we asked to end."""

    def __init__(self, server: OozieServer, stopped: "set[str] | frozenset[str]" = frozenset()) -> None:
        self._server = server
        self._stopped = stopped

    async def observe(self, watched: Sequence[Watched]) -> dict[str, Observation]:
        """One observation for each of these, by run key."""
        seen: dict[str, Observation] = {}
        runs = await self._runs(watched, seen)
        workflows = {key: run for key, run in runs.items() if run.id.type == "workflow"}
        others = [(key, run) for key, run in runs.items() if run.id.type != "workflow"]
        await self._actions([(key, run) for key, run in others if run.id.action], workflows, seen)
        await self._workflows(workflows, seen)
        await self._coordinators(
            [(key, run.id) for key, run in others if run.id.type == "coordinator" and not run.id.action], seen
        )
        await self._bundles([(key, run.id) for key, run in others if run.id.type == "bundle"], seen)
        return seen

    async def _runs(self, watched: Sequence[Watched], seen: dict[str, Observation]) -> dict[str, Run]:
        """Which run each key is; a key without a handle is looked up by its external id."""
        found: dict[str, Run] = {}
        unknown = [run for run in watched if run.handle is None]
        ids = await asyncio.gather(*(self._server.workflow_of_key(run.run_key) for run in unknown))
        looked_up = await self._server.workflows([id for id in ids if id]) if any(ids) else {}
        for run, id in zip(unknown, ids, strict=True):
            job = looked_up.get(id or "")
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
        jobs = await self._server.workflows([str(run.id) for run in runs.values()]) if runs else {}
        ended: list[tuple[str, Run]] = []
        for key, run in runs.items():
            job = jobs.get(str(run.id))
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
        workflows = await asyncio.gather(*(self._server.workflow(str(run.id)) for _, run in now))
        for (key, run), job in zip(now, workflows, strict=True):
            if job is None or job.run != run.number:
                seen[key] = _lost(key, run.handle, _other_run(run, job.run if job else run.number))
            else:
                seen[key] = self._of_workflow(key, run, job, await self._reason(job))
        for key, run in ended[DETAILS_PER_PASS:]:
            began = jobs[str(run.id)].started_at
            seen[key] = self._observation(key, Phase.RUNNING, run.handle, started_at=began)

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
                child = await self._server.workflow(node.external_id)
                reasons.append(f"child {node.external_id}: {await self._reason(child, depth + 1)}" if child else "")
        if not reasons:
            return "killed" if job.status == "KILLED" else f"Oozie says {job.status}"
        return "; ".join(part[:700] for part in reasons if part)

    async def _actions(
        self, runs: Sequence[tuple[str, Run]], workflows: dict[str, Run], seen: dict[str, Observation]
    ) -> None:
        """Actions of coordinators that had no workflow yet: with one, they are observed as that workflow."""
        numbers: dict[str, list[int]] = {}
        for key, run in runs:
            if run.id.number is None:
                seen[key] = _lost(key, run.handle, "it is no action of a coordinator")
            else:
                numbers.setdefault(run.id.job, []).append(run.id.number)
        pages = await asyncio.gather(*(self._page_of(job, wanted) for job, wanted in numbers.items()))
        actions = {action.id: action for page in pages for action in page}
        jobs = await self._server.workflows([a.external_id for a in actions.values() if a.external_id])
        for key, run in runs:
            if key in seen:
                continue
            action = actions.get(str(run.id))
            job = jobs.get(action.external_id or "") if action else None
            if action is None:
                seen[key] = _lost(key, run.handle, "Oozie does not know the action")
            elif job is not None and job.external_id == key:
                workflows[key] = Run(parse_handle(job.id).id, job.run)
            elif job is not None:
                seen[key] = _lost(key, run.handle, f"its workflow {job.id} was started by another rerun")
            else:
                seen[key] = self._of_action(key, run, action)

    async def _page_of(self, job: str, numbers: Sequence[int]) -> Sequence[CoordinatorActionAnswer]:
        """The actions with these numbers: one call, if they lie close together."""
        first, last = min(numbers), max(numbers)
        if last - first < PAGE:
            found = await self._server.coordinator(job, offset=first, length=last - first + 1)
            actions = found.actions if found else ()
            if {action.number for action in actions} >= set(numbers):
                return actions
        single = await asyncio.gather(*(self._server.coordinator_action(f"{job}@{number}") for number in numbers))
        return [action for action in single if action is not None]

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
        jobs = await self._server.coordinators([str(id) for _, id in ids]) if ids else {}
        for key, id in ids:
            seen[key] = self._of_job(key, id, jobs.get(str(id)))

    async def _bundles(self, ids: Sequence[tuple[str, OozieId]], seen: dict[str, Observation]) -> None:
        jobs = await self._server.bundles([str(id) for _, id in ids]) if ids else {}
        for key, id in ids:
            seen[key] = self._of_job(key, id, jobs.get(str(id)))

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
        if phase is Phase.OTHER:
            raise EngineUnavailable("oozie", f"it names a state of {handle} that is not known")
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
