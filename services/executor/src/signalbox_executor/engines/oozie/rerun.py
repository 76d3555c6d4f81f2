"""Reruns of workflows and coordinator actions, each run key at most once.

The run key becomes the external id of the run, in the same request that starts it: Oozie stores it with the workflow,
or gives it to the new workflow of a coordinator's action (seen on 5.2.1). So a rerun whose answer was lost is
recognised, and never sent again. Oozie has no rerun on a condition: between our look and our request somebody else can
still rerun the same job, and the look is repeated when the request was held up.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from signalbox_chassis.runtime import crash_points
from signalbox_contracts.definitions.work import OozieExpectation, OozieWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.oozie.answers import CoordinatorActionAnswer, CoordinatorAnswer, WorkflowAnswer
from signalbox_executor.engines.oozie.configuration import (
    EXTERNAL_ID,
    FAIL_NODES,
    RUN_KEY,
    SKIP_NODES,
    run_key_of,
    value_of,
)
from signalbox_executor.engines.oozie.handles import OozieId, Run, parse_id
from signalbox_executor.engines.oozie.key_locks import KeyLocks
from signalbox_executor.engines.oozie.notifications import Notifications
from signalbox_executor.engines.oozie.rest import OozieRefused
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.oozie.skip_list import (
    NodesRefused,
    Scope,
    as_property,
    check_skip_list,
    check_work_is_left,
    skip_nodes,
)
from signalbox_executor.engines.oozie.states import ACTION_ENDS, CLOSED_TO_RERUN, WORKFLOW_ENDS
from signalbox_executor.engines.oozie.submission import refused
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, Handle, Submission, WorldChanged

FRESH_SECONDS: Final = 1.0
"""How old a look may be when the request is sent that rests on it."""
QUIET_SECONDS: Final = 5.0
"""How long an earlier copy of a rerun is waited for before another one is sent."""
MAX_ATTEMPTS: Final = 100
"""How many attempts of a task are looked for; a task has at most as many of its own."""
READ_BACK_SECONDS: Final = 40.0
"""Oozie queues a command that cannot lock the job, for ten seconds and more, and answers 200."""
WORKFLOW_SECONDS: Final = 3.0
"""How long the workflow of a rerun coordinator action is waited for; it appears within a second or two."""


class Rerunner:
    """Reruns what exists on one server."""

    def __init__(
        self, server: OozieServer, notifications: Notifications, *, quiet_seconds: float = QUIET_SECONDS
    ) -> None:
        self._server = server
        self._notifications = notifications
        self._rest = server.rest
        self._quiet_seconds = quiet_seconds
        self._one_at_a_time = KeyLocks()

    async def submit(self, submission: Submission, work: OozieWork) -> Handle:
        """As the port says. Raises `WorldChanged` when the target is no longer what was expected."""
        try:
            target = parse_id(work.target or "")
        except ValueError as error:
            raise self._refused(str(error), work) from None
        async with self._one_at_a_time(str(target)):
            return await self._rerun(submission, work, target)

    async def _rerun(self, submission: Submission, work: OozieWork, target: OozieId) -> Handle:
        if target.type == "workflow" and target.action is None:
            return await self._workflow(submission, work, target)
        if target.type == "coordinator" and target.number is not None:
            return await self._action(submission, work, target)
        if target.type == "coordinator":
            raise self._refused("a coordinator is rerun action by action: name one as coordinator@number", work)
        what = "a bundle is rerun as its coordinators' actions" if target.type == "bundle" else "it is one action"
        raise self._refused(f"{what}: name a workflow (…-W) or a coordinator's action (…-C@number)", work)

    # workflows

    async def _workflow(self, submission: Submission, work: OozieWork, target: OozieId) -> Handle:
        job, looked_at = await self._look(submission, work, target)
        if _carries(job, submission.run_key):
            return Run(target, job.run).handle
        if submission.resent:
            job, looked_at = await self._wait_for_copy(submission, work, target, job)
            if _carries(job, submission.run_key):
                return Run(target, job.run).handle
        while True:
            self._check_workflow(submission, work, job)
            properties = self._workflow_properties(submission, work, job)
            if time.monotonic() - looked_at <= FRESH_SECONDS:
                break
            job, looked_at = await self._look(submission, work, target)
            if _carries(job, submission.run_key):
                return Run(target, job.run).handle
        busy = await self._put_rerun(f"v2/job/{target}", properties, work, {"action": "rerun"})
        return await self._read_back(submission, work, target, job, busy)

    async def _look(self, submission: Submission, work: OozieWork, target: OozieId) -> tuple[WorkflowAnswer, float]:
        at = time.monotonic()
        job = await self._server.workflow(str(target))
        if job is None:
            raise self._refused("Oozie does not know this workflow", work)
        return job, at

    async def _wait_for_copy(
        self, submission: Submission, work: OozieWork, target: OozieId, job: WorkflowAnswer
    ) -> tuple[WorkflowAnswer, float]:
        """An earlier request may still be on its way: give it time to show, before another one is sent."""
        deadline = time.monotonic() + self._quiet_seconds
        while True:
            job, at = await self._look(submission, work, target)
            if at >= deadline or _carries(job, submission.run_key):
                return job, at
            await asyncio.sleep(min(0.5, self._quiet_seconds / 10))

    def _check_workflow(self, submission: Submission, work: OozieWork, job: WorkflowAnswer) -> None:
        """Refuse what is not as expected, or cannot be rerun."""
        if not _is_ours_before(job, submission):
            found = {"run": job.run, "last_modified": job.modified_text, "phase": job.status}
            self._check_expected(work, found)
        if job.status not in WORKFLOW_ENDS:
            raise self._refused(
                f"it is {job.status}: only SUCCEEDED, FAILED and KILLED workflows can be rerun (E0805)", work
            )

    def _workflow_properties(self, submission: Submission, work: OozieWork, job: WorkflowAnswer) -> Mapping[str, str]:
        """What is sent. The merged configuration is stored with the job, so the skip list is always set."""
        scope: Scope = work.scope or "all"
        try:
            if work.scope is None and work.skip_nodes:
                check_skip_list(work.skip_nodes, job.actions)
                names: Sequence[str] = work.skip_nodes
            else:
                names = skip_nodes(scope, job.actions, work.nodes)
            check_work_is_left(names, job.status, job.actions)
        except NodesRefused as error:
            raise EngineRefused(self._rest.name, str(error), field="work.nodes") from None
        keys = {RUN_KEY: submission.run_key}
        if not job.external_id or job.external_id.startswith("sb-"):
            keys[EXTERNAL_ID] = submission.run_key  # never in place of an external id that is somebody else's
        notified = self._notifications.properties(submission.run_key, work.properties, job.conf, object="workflow")
        # somebody's rerun with `failnodes` is stored, and Oozie refuses it together with a skip list (E0404)
        cleared = {FAIL_NODES: "false"} if value_of(job.conf, FAIL_NODES) else {}
        return {**notified, **work.properties, **keys, **cleared, SKIP_NODES: as_property(names)}

    async def _read_back(
        self, submission: Submission, work: OozieWork, target: OozieId, before: WorkflowAnswer, busy: str
    ) -> Handle:
        """200 says only that Oozie took the request: look until the run is ours. `busy`: it was too late instead."""
        deadline = time.monotonic() + READ_BACK_SECONDS
        while True:
            job, at = await self._look(submission, work, target)
            if _carries(job, submission.run_key):
                return Run(target, job.run).handle
            if job.run > before.run or busy:
                reason = busy or f"run {job.run}"
                raise WorldChanged(
                    self._rest.name,
                    f"somebody else reran {target} first: {reason}",
                    field="work.target",
                    value=_shown(work),
                )
            if at > deadline:
                raise EngineUnavailable(self._rest.name, f"the rerun of {target} was accepted and has not begun")
            await asyncio.sleep(0.05)

    # actions of coordinators

    async def _action(self, submission: Submission, work: OozieWork, target: OozieId) -> Handle:
        if work.scope not in (None, "all") or work.skip_nodes:
            raise EngineRefused(
                self._rest.name,
                "a coordinator's action is rerun from its start; to skip nodes, name its workflow as target",
                field="work.scope",
            )
        action, looked_at = await self._look_at_action(work, target)
        if (handle := await self._ours(submission, target, action)) is not None:
            return handle
        if submission.resent:
            deadline = time.monotonic() + self._quiet_seconds
            while looked_at < deadline:
                await asyncio.sleep(min(0.5, self._quiet_seconds / 10))
                action, looked_at = await self._look_at_action(work, target)
                if (handle := await self._ours(submission, target, action)) is not None:
                    return handle
        while True:
            coordinator = await self._check_action(submission, work, target, action)
            notified = await self._notified(submission, work, action, coordinator)
            if time.monotonic() - looked_at <= FRESH_SECONDS:
                break
            action, looked_at = await self._look_at_action(work, target)
        keys = {RUN_KEY: submission.run_key, EXTERNAL_ID: submission.run_key}
        query = {
            "action": "rerun",
            "type_": "action",
            "scope": target.number,
            "refresh": work.refresh,
            "nocleanup": not work.clean_up,
        }
        # `action=coord-rerun` would ignore the properties, and with them the key; `action=rerun` keeps them
        properties = {**notified, **work.properties, **keys}
        busy = await self._put_rerun(f"v2/job/{target.job}", properties, work, query)
        return await self._workflow_of_action(submission, work, target, action, busy)

    async def _look_at_action(self, work: OozieWork, target: OozieId) -> tuple[CoordinatorActionAnswer, float]:
        at = time.monotonic()
        action = await self._server.coordinator_action(str(target))
        if action is None:
            raise self._refused("Oozie does not know this action", work)
        return action, at

    async def _ours(self, submission: Submission, target: OozieId, action: CoordinatorActionAnswer) -> Handle | None:
        """The workflow that this key already started for the action, if any; the first of them."""
        if action.external_id is None and action.status in ACTION_ENDS:
            return None
        runs = await self._server.workflows_of_action(str(target))
        ids = [*runs, action.external_id] if action.external_id and action.external_id not in runs else runs
        workflows = await self._server.workflows(ids)
        for id in ids:
            job = workflows.get(id)
            if job is not None and job.external_id == submission.run_key and job.run == 0:
                return id
        return None

    async def _check_action(
        self, submission: Submission, work: OozieWork, target: OozieId, action: CoordinatorActionAnswer
    ) -> CoordinatorAnswer | None:
        """The coordinator, if the action can be rerun and is as expected."""
        if action.status not in ACTION_ENDS:
            reason = f"it is {action.status}: only an action that has ended can be rerun (E1018)"
            if submission.resent and action.external_id is None:
                raise EngineUnavailable(self._rest.name, f"{target} waits, and its workflow will say whose rerun it is")
            raise self._refused(reason, work)
        if not await self._ours_before(submission, action):
            found = {"last_modified": action.modified_text, "phase": action.status, "external_id": action.external_id}
            self._check_expected(work, found)
        coordinator = await self._server.coordinator(target.job)
        if coordinator is not None and coordinator.status in CLOSED_TO_RERUN:
            raise self._refused(f"its coordinator is {coordinator.status}: Oozie refuses reruns (E1018)", work)
        return coordinator

    async def _notified(
        self,
        submission: Submission,
        work: OozieWork,
        action: CoordinatorActionAnswer,
        coordinator: CoordinatorAnswer | None,
    ) -> Mapping[str, str]:
        """The notification URL of the new workflow, unless the coordinator or the workflow before has its own."""
        if not self._notifications.enabled:
            return {}
        before = await self._server.workflow(action.external_id) if action.external_id else None
        stored = (coordinator and coordinator.conf, before and before.conf)
        return self._notifications.properties(submission.run_key, work.properties, *stored, object="workflow")

    async def _ours_before(self, submission: Submission, action: CoordinatorActionAnswer) -> bool:
        """The action's workflow was started by an earlier attempt of the same task: we moved it ourselves."""
        if action.external_id is None:
            return False
        job = (await self._server.workflows([action.external_id])).get(action.external_id)
        return job is not None and job.external_id in _earlier_keys(submission)

    async def _workflow_of_action(
        self,
        submission: Submission,
        work: OozieWork,
        target: OozieId,
        before: CoordinatorActionAnswer,
        busy: str,
    ) -> Handle:
        """Oozie took the rerun. Wait a little for its workflow; the action is the handle until it is there.

        `busy`: it was too late instead, and the workflow says whether the rerun under way is another copy of ours.
        """
        deadline = time.monotonic() + WORKFLOW_SECONDS
        while time.monotonic() < deadline:
            action, _ = await self._look_at_action(work, target)
            if action.external_id and action.external_id != before.external_id:
                if (handle := await self._ours(submission, target, action)) is not None:
                    return handle
                if busy:
                    raise WorldChanged(
                        self._rest.name,
                        f"somebody else reran {target} first: {busy}",
                        field="work.target",
                        value=_shown(work),
                    )
            await asyncio.sleep(0.1)
        if busy:
            raise EngineUnavailable(self._rest.name, f"{target} waits, and its workflow will say whose rerun it is")
        return str(target)

    # both

    async def _put_rerun(
        self, path: str, properties: Mapping[str, str], work: OozieWork, query: Mapping[str, Any]
    ) -> str:
        """Send it. Empty: Oozie took it. Otherwise Oozie's words for "it runs already": another one was first."""
        crash_points.point("oozie.before_rerun")
        try:
            await self._rest.put(path, properties, **query)
        except OozieRefused as error:
            if error.code in ("E0805", "E1018"):
                return str(error)
            raise refused(self._rest.name, error, "work.target", work.target or "") from error
        crash_points.point("oozie.rerun_sent")
        return ""

    def _check_expected(self, work: OozieWork, found: Mapping[str, Any]) -> None:
        """Raise `WorldChanged` with each difference between what was expected and what is."""
        expected = work.expected or OozieExpectation()
        wanted = expected.model_dump(exclude_none=True, exclude={"after_tasks"})
        differences = [
            f"{name} was {value}, is {found[name]}"
            for name, value in wanted.items()
            if name in found and found[name] != value
        ]
        if differences:
            raise WorldChanged(
                self._rest.name,
                f"{work.target} changed: {'; '.join(differences)}",
                field="work.target",
                value=_shown(work),
            )

    def _refused(self, reason: str, work: OozieWork) -> EngineRefused:
        return EngineRefused(self._rest.name, f"{work.target}: {reason}", field="work.target", value=_shown(work))


def _shown(work: OozieWork) -> str:
    return (work.target or "")[:200]


def _carries(job: WorkflowAnswer, key: str) -> bool:
    """The present run is the one of this key."""
    return job.external_id == key or run_key_of(job.conf) == key


def _is_ours_before(job: WorkflowAnswer, submission: Submission) -> bool:
    """The present run is that of an earlier attempt of the same task: what was expected has been true."""
    earlier = _earlier_keys(submission)
    return job.external_id in earlier or run_key_of(job.conf) in earlier


def _earlier_keys(submission: Submission) -> frozenset[str]:
    """The run keys of this task's earlier attempts, and of the tasks whose failures it retries."""
    first = max(1, submission.attempt - MAX_ATTEMPTS)
    keys = [run_key(submission.task_id, attempt) for attempt in range(first, submission.attempt)]
    work = submission.work
    if isinstance(work, OozieWork) and work.expected is not None:
        tasks = work.expected.after_tasks
        keys += [run_key(task, attempt) for task in tasks for attempt in range(1, MAX_ATTEMPTS + 1)]
    return frozenset(keys)
