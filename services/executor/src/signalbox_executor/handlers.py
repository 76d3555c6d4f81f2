"""In: plan.rules, tasks.ensure, tasks.cancel, selection.resolve, task.resolve, task.savepoint,
task.annotate,
dag.pause, oozie.control, oozie.show, artifact.check, engine.test, plan.republish, logs.follow, runs.observe.
Changes: plan_rules, task, engine, freeze_definition, freeze_window, seen, operation, log_follow, run_hint, selection.
Out: tasks.state, selection.resolved, operation.result.
"""

from collections.abc import Callable, Sequence
from typing import Any

from signalbox_chassis.messaging.dead_letters import parked_error
from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.messaging.settle import trace_of
from signalbox_chassis.persistence.clock import transaction_time
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.runtime.health import Restated
from signalbox_chassis.runtime.wake_ups import WakeUps
from signalbox_contracts.definitions.engine import Engine as EngineDefinition
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.ids import task_of_run_key
from signalbox_contracts.messages.definitions import DefinitionSnapshot, DefinitionTombstone
from signalbox_contracts.messages.operations import (
    ArtifactCheck,
    DagPause,
    EngineTest,
    LogsFollow,
    OozieControl,
    OozieShow,
    PlanRepublish,
    RunsObserve,
    TaskAnnotate,
    TaskResolve,
    TaskSavepoint,
)
from signalbox_contracts.messages.states import Outcome
from signalbox_contracts.messages.task_commands import PlanRules, SelectionResolve, TasksCancel, TasksEnsure
from signalbox_executor import facts, selections
from signalbox_executor.lifecycle import resolution, why_not_resolved
from signalbox_executor.operations import answer
from signalbox_executor.store import (
    accept,
    engine_requests,
    engines,
    freezes,
    hints,
    operations,
    resolve,
    restore,
    rules,
    stop,
)
from signalbox_executor.store import selections as store_selections
from signalbox_executor.store.operations import Operation

_COMMANDS = "task-commands.v1"


def control(clock: Clock, wakes: WakeUps, restated: Restated) -> Router:
    """Commands of plans, and operations. Their commits wake the loops that go on with them."""
    router, wake = Router(), wakes.of("claim")

    @router.on(PlanRules)
    async def keep_rules(work: UnitOfWork, events: Sequence[Received[PlanRules]]) -> None:
        for received in sorted(events, key=lambda one: (one.event.data.plan_id, one.event.data.version)):
            plan = received.event.data.plan_id
            have = await rules.save_rules(work.connection, received.event.data)
            facts.publish_answer(work, plan, rules_version=have, time=clock.now(), cause=received)
        work.on_commit(wake)

    @router.on(TasksEnsure)
    async def ensure(work: UnitOfWork, events: Sequence[Received[TasksEnsure]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.plan_id):
            data = received.event.data
            new = await accept.accept(work.connection, data, _traceparent(received))
            if new:
                work.on_commit(wake)
            known = [id for id in (*(task.task_id for task in data.tasks), *data.known) if id not in new]
            if not known:
                continue  # a new task is published with its first transitions, or a moment later by itself
            if data.versions:
                for id, version in (await restore.raise_above(work.connection, data.known, data.versions)).items():
                    restated(f"task {id}", version)
            tasks = await accept.present(work.connection, known)
            found = {task.id for task in tasks}
            have = await rules.versions(work.connection, [data.plan_id])
            missing = [id for id in data.known if id not in found and id not in new]
            parked = await parked_error(work.connection, _COMMANDS, str(data.plan_id)) if missing else None
            facts.publish_answer(
                work,
                data.plan_id,
                rules_version=have.get(data.plan_id, 0),
                time=clock.now(),
                tasks=tasks,
                missing=missing,
                parked=parked or "",
                cause=received,
            )

    @router.on(TasksCancel)
    async def cancel(work: UnitOfWork, events: Sequence[Received[TasksCancel]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.plan_id):
            data = received.event.data
            reason = f"cancelled by {data.actor}: {data.reason}"[:2000] if data.reason else f"cancelled by {data.actor}"
            changed = await stop.cancel(work.connection, data.plan_id, data.task_ids, kill=data.kill, reason=reason)
            work.on_commit(wake)
            facts.publish_changes(work, changed, cause=received)
            done = {task.id for task in changed}
            rest = await accept.present(work.connection, [id for id in data.task_ids if id not in done])
            if rest:
                facts.publish_changes(work, rest, cause=received)

    _decisions(router, wake)
    _operations(router, wakes)
    _selections(router, wakes.of("selections"))
    return router


def _decisions(router: Router, wake: Callable[[], None]) -> None:
    """What a person decides about an UNKNOWN task."""

    @router.on(TaskResolve)
    async def decide(work: UnitOfWork, events: Sequence[Received[TaskResolve]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.task_id):
            data = received.event.data
            operation = await _operation(work, received, "task.resolve")
            resolved = await resolve.resolve(work.connection, data, resolution(data))
            if resolved is None:
                found = await accept.present(work.connection, [data.task_id])
                state, attempt = (found[0].state, found[0].attempt) if found else (None, 0)
                answer(work, operation, Outcome.REFUSED, why_not_resolved(data, state, attempt))
                continue
            facts.publish_changes(work, [resolved.task], cause=received)
            work.on_commit(wake)
            task = resolved.task
            summary = f"attempt {data.attempt} was UNKNOWN; the task is {task.state.value} in attempt {task.attempt}"
            answer(work, operation, Outcome.DONE, summary, resolved.details(data.attempt))


def _selections(router: Router, wake: Callable[[], None]) -> None:
    """What is to be looked up on an engine. A repeated request gets the answer again."""

    @router.on(SelectionResolve)
    async def resolve_selection(work: UnitOfWork, events: Sequence[Received[SelectionResolve]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.selection_id):
            data = received.event.data
            if await store_selections.keep(work.connection, data, _traceparent(received)):
                work.on_commit(wake)
            elif (answered := await store_selections.ended(work.connection, data.selection_id)) is not None:
                await selections.publish(work, answered, repeated=True)


def _operations(router: Router, wakes: WakeUps) -> None:
    """What is operation about an engine, a plan's tasks or a log: kept and answered by a loop, or answered at once."""

    @router.on(EngineTest)
    async def test(work: UnitOfWork, events: Sequence[Received[EngineTest]]) -> None:
        for received in events:
            await operations.save_test(work.connection, received.event, _traceparent(received))
        work.on_commit(wakes.of("connection tests"))

    async def keep(work: UnitOfWork, events: Sequence[Received[engine_requests.EngineOperation]]) -> None:
        for received in events:
            await engine_requests.keep(work.connection, received.event, _traceparent(received))
        work.on_commit(wakes.of("engine requests"))

    for message in (ArtifactCheck, TaskSavepoint, TaskAnnotate, DagPause, OozieControl, OozieShow):
        router.on(message)(keep)

    @router.on(PlanRepublish)
    async def republish(work: UnitOfWork, events: Sequence[Received[PlanRepublish]]) -> None:
        for received in events:
            if received.event.data.tasks:
                await operations.save_republish(work.connection, received.event, _traceparent(received))
        work.on_commit(wakes.of("republish"))

    @router.on(RunsObserve)
    async def hint(work: UnitOfWork, events: Sequence[Received[RunsObserve]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.engine_id):
            data = received.event.data
            await hints.keep(work.connection, data.engine_id, sorted(map(task_of_run_key, data.run_keys)))
        work.on_commit(wakes.of("run hints"))

    @router.on(LogsFollow)
    async def follow(work: UnitOfWork, events: Sequence[Received[LogsFollow]]) -> None:
        for received in events:
            event = received.event
            until = await operations.follow(work.connection, event)
            operation = await _operation(work, received, "logs.follow")
            if until is None:
                answer(
                    work, operation, Outcome.REFUSED, f"task {event.data.task_id} has no attempt {event.data.attempt}"
                )
            else:
                answer(work, operation, Outcome.DONE, f"followed until {until.isoformat(timespec='seconds')}")


def definitions(wakes: WakeUps) -> Router:
    """Snapshots of engines and freezes. The feed has no inbox: the revision guards. Its commits wake the refresh."""
    router = Router()

    @router.on(DefinitionSnapshot)
    async def define(work: UnitOfWork, events: Sequence[Received[DefinitionSnapshot]]) -> None:
        for received in sorted(events, key=lambda one: one.event.data.id):
            data = received.event.data
            if isinstance(data.definition, EngineDefinition):
                await engines.define(work.connection, data.revision, data.definition, deleted=data.deleted)
            elif data.kind == "engine":
                await engines.delete(work.connection, data.id, data.revision)
            elif isinstance(data.definition, Freeze):
                await freezes.save(work.connection, data.definition, data.revision, lifted=data.deleted)
            elif data.kind == "freeze":
                await freezes.lift(work.connection, data.id, data.revision)
        await engines.saw(work.connection, max(received.event.data.revision for received in events))
        work.on_commit(wakes.of("refresh"))
        work.on_commit(wakes.of("claim"))  # a freeze that was lifted

    @router.on(DefinitionTombstone)
    async def forget(work: UnitOfWork, events: Sequence[Received[DefinitionTombstone]]) -> None:
        """Nothing: the deleting snapshot came 30 days earlier, and history keeps the row."""

    return router


async def _operation(work: UnitOfWork, received: Received[Any], kind: str) -> Operation:
    """An operation that is answered as it is handled."""
    event, now = received.event, await transaction_time(work.connection)
    return Operation(event.data.operation_id, kind, event.id, event.subject or "", _traceparent(received), now, now)


def _traceparent(received: Received[Any]) -> str | None:
    """The sender's span, not that of this handling: this process may be killed before it has sent its own, and what
    follows would hang on nothing.
    """
    return trace_of(received.record, received.event.traceparent, received.event.tracestate).get("traceparent")
