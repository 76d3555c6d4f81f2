"""Facts of tasks. A batch is one transaction: items by version, counts by difference, one fact a touched plan."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic_core import to_json

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.tasks import TaskRecord, TasksStated
from signalbox_contracts.states import TaskState
from signalbox_planner import lifecycle
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.graph import MAX_REASON
from signalbox_planner.plan import Plan
from signalbox_planner.settings import PlannerSettings
from signalbox_planner.store import items, plans
from signalbox_planner.store.items import TaskFact


def register(router: Router, settings: PlannerSettings, dispatcher: Dispatcher) -> None:
    """The handler of `tasks.state`."""

    @router.on(TasksStated)
    async def tasks(work: UnitOfWork, events: Sequence[Received[TasksStated]]) -> None:
        await apply_stated(work, events, settings, dispatcher)


async def apply_stated(
    work: UnitOfWork, events: Sequence[Received[TasksStated]], settings: PlannerSettings, dispatcher: Dispatcher
) -> None:
    """Count what became of the tasks, and go on with their plans."""
    stated = [received.event.data for received in events]
    known, now, _ = await plans.locked_now(work.connection, [data.plan_id for data in stated])
    changes = await items.apply_facts(work.connection, _facts(events, known))
    confirmed: dict[UUID, int] = {}
    missing: dict[UUID, set[UUID]] = {}
    parked: dict[UUID, str] = {}
    for data in stated:
        confirmed[data.plan_id] = max(confirmed.get(data.plan_id, 0), data.rules_version)
        missing.setdefault(data.plan_id, set()).update(data.missing)
        parked[data.plan_id] = data.parked or parked.get(data.plan_id, "")
    changed: list[Plan] = []
    for plan_id, plan in known.items():
        after = lifecycle.count(plan, changes.get(plan_id, ()), now)
        after = lifecycle.confirm(after, confirmed[plan_id], now)
        if lost := missing[plan_id]:
            after = await dispatcher.send_missing(work, after, lost, now, parked=parked[plan_id])
        after = await dispatcher.send(work, after, now)
        if after is not plan:
            changed.append(after)
    await save_changes(work, changed, now)
    if changes:
        await plans.postpone_query(
            work.connection, list(changes), seconds=settings.reconcile_seconds,
            max_seconds=settings.max_reconcile_seconds,
        )  # fmt: skip


def _facts(events: Sequence[Received[TasksStated]], known: Mapping[UUID, Plan]) -> list[TaskFact]:
    return [
        TaskFact(
            received.event.data.plan_id,
            task.item_key,
            task.version,
            str(task.state),
            to_json(task.result).decode()
            if task.result is not None and known[received.event.data.plan_id].progress
            else None,
            _error(task) if known[received.event.data.plan_id].progress else None,
        )
        for received in events
        if received.event.data.plan_id in known
        for task in received.event.data.tasks
    ]


def _error(task: TaskRecord) -> str | None:
    """Why a task failed, with its key where a step has several."""
    if task.state is not TaskState.FAILED:
        return None
    words = task.error or "it failed"
    return (f"{task.item_key}: {words}" if "/" in task.item_key else words)[:MAX_REASON]
