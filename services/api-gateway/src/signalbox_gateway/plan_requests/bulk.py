"""Bulk operations: one request about many plans or tasks, stored with its items and published in one transaction.

The planner and the executors answer each item, so the caller may go away, and one refused item stops no other.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.envelope import Event
from signalbox_contracts.ids import child_plan_id
from signalbox_contracts.messages.operations import TaskResolve
from signalbox_contracts.messages.plans import PlanRecord
from signalbox_contracts.messages.requests import PlanCancel, PlanPause, PlanResume, PlanRetry
from signalbox_contracts.states import PlanState
from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_gateway import operations
from signalbox_gateway.definitions import store as definitions
from signalbox_gateway.http.access import Principal
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import invalid
from signalbox_gateway.http.traces import current_trace_id
from signalbox_gateway.identity.roles import Object
from signalbox_gateway.operations import Command
from signalbox_gateway.read_model import bulk_targets, writes
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter
from signalbox_gateway.store import bulk as store
from signalbox_gateway.store.bulk import BulkItem

MAX_BULK_ITEMS: Final = 10_000
"""Plans or tasks of one bulk operation: they are one transaction."""
_CONTROLS: Final[dict[str, type[Event[Any]]]] = {"pause": PlanPause, "resume": PlanResume, "cancel": PlanCancel}
_REFUSALS: Final = {
    "retry": "only an ended plan with failures can be retried", "resolve": "only one in UNKNOWN can be resolved",
}  # fmt: skip
_NEVER_MOVES: Final = "it never moves again"


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """What is requested of each plan or task. `decision` is for `resolve`, `kill` for `cancel`."""

    id: UUID
    action: str
    filter: str
    reason: str
    ids: Sequence[UUID] = ()
    kill: bool = False
    decision: str | None = None


async def request_plans(
    work: UnitOfWork, deps: Dependencies, principal: Principal, request: BulkRequest, wanted: PlanFilter
) -> dict[str, Any]:
    """Request the action of every plan; the stored bulk operation."""
    permission = "plan.start" if request.action == "retry" else "plan.control"
    everywhere = principal.reach(permission).everywhere
    rows = await bulk_targets.plans(
        work.connection, request.action, wanted, request.ids, engines=not everywhere, limit=MAX_BULK_ITEMS + 1
    )
    _check_number(rows, request, "plans")
    plans = {row["id"]: row for row in rows if not _refusal(principal, permission, request.action, "plan", row)}
    if request.action == "retry":
        commands, children = await _retries(work, deps, principal, request, list(plans))
    else:
        data = {"kill": request.kill} if request.action == "cancel" else {}
        message, children = _CONTROLS[request.action], dict[UUID, UUID]()
        commands = {
            id: Command(message, f"plan:{id}", str(id), {"plan_id": id, **data}) for id in plans
        }  # fmt: skip
    await operations.ask_all(work, deps, principal, list(commands.values()), reason=request.reason)

    def item(row: Row) -> tuple[UUID | None, UUID | None, str]:
        if row["id"] in commands:
            return commands[row["id"]].id, children.get(row["id"]), ""
        return None, None, _refusal(principal, permission, request.action, "plan", row)

    return await _save(work, deps, principal, request, "plan", rows, item)


async def request_tasks(
    work: UnitOfWork, deps: Dependencies, principal: Principal, request: BulkRequest, wanted: TaskFilter
) -> dict[str, Any]:
    """Request the action of every task; the stored bulk operation."""
    permission = "task.resolve" if request.action == "resolve" else "plan.control"
    rows = await bulk_targets.tasks(
        work.connection, request.action, wanted, request.ids, limit=MAX_BULK_ITEMS + 1
    )  # fmt: skip
    _check_number(rows, request, "tasks")
    allowed = [row for row in rows if not _refusal(principal, permission, request.action, "task", row)]
    commands = _resolves(request, allowed) if request.action == "resolve" else _cancels(request, allowed)
    by_operation = {command.id: command for command in commands.values()}
    await operations.ask_all(work, deps, principal, list(by_operation.values()), reason=request.reason)

    def item(row: Row) -> tuple[UUID | None, UUID | None, str]:
        command = commands.get(row["id"])
        refusal = "" if command else _refusal(principal, permission, request.action, "task", row)
        return command.id if command else None, None, refusal

    return await _save(work, deps, principal, request, "task", rows, item)


def _resolves(request: BulkRequest, rows: Sequence[Row]) -> dict[UUID, Command]:
    """A decision for each task, about the attempt it is in."""
    return {
        row["id"]: Command(
            TaskResolve, f"task:{row['id']}", f"task:{row['id']}",
            {"plan_id": row["plan_id"], "task_id": row["id"], "attempt": row["attempt"], "decision": request.decision},
        )
        for row in rows
    }  # fmt: skip


def _cancels(request: BulkRequest, rows: Sequence[Row]) -> dict[UUID, Command]:
    """Cancels of items, up to 200 of one plan in one command."""
    by_plan: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        by_plan[row["plan_id"]].append(row)
    commands: dict[UUID, Command] = {}
    for plan_id, tasks in by_plan.items():
        for at in range(0, len(tasks), MAX_ITEMS):
            part = tasks[at : at + MAX_ITEMS]
            keys = tuple(row["name"] for row in part)
            data = {"plan_id": plan_id, "kill": request.kill, "item_keys": keys}
            command = Command(PlanCancel, f"plan:{plan_id}", str(plan_id), data)
            commands |= {row["id"]: command for row in part}
    return commands


async def _retries(
    work: UnitOfWork, deps: Dependencies, principal: Principal, request: BulkRequest, ids: Sequence[UUID]
) -> tuple[dict[UUID, Command], dict[UUID, UUID]]:
    """The linked plan of every plan, written in its first state, with the command that runs it; both by the parent."""
    commands: dict[UUID, Command] = {}
    children: dict[UUID, UUID] = {}
    revision = await definitions.engines_revision(work.connection)
    for at in range(0, len(ids), operations.BATCH):
        parents = await bulk_targets.plan_records(work.connection, ids[at : at + operations.BATCH])
        records = [
            retry_record(parent, child_plan_id(id, f"bulk:{request.id}"), principal, request.reason, deps.clock.now())
            for id, parent in parents.items()
        ]
        await writes.accept_plans(
            work.connection, records, reason=request.reason, trace_id=current_trace_id()
        )  # fmt: skip
        for record in records:
            parent = record.parent
            assert parent is not None
            data = {
                "plan_id": parent, "child_plan_id": record.plan_id, "item_keys": (), "definitions_revision": revision
            }  # fmt: skip
            commands[parent] = Command(PlanRetry, f"plan:{parent}", str(parent), data)
            children[parent] = record.plan_id
    return commands, children


def retry_record(parent: PlanRecord, id: UUID, principal: Principal, reason: str, now: Any) -> PlanRecord:
    """The first state of a plan that runs the failures of another one again."""
    return PlanRecord(
        plan_id=id, version=0, state=PlanState.ACCEPTED, name=f"Retry of {parent.name}"[:200],
        actor=principal.actor, target=parent.target, target_version=parent.target_version, parent=parent.plan_id,
        project=parent.project, labels=parent.labels, event_date=parent.event_date, rules=parent.rules,
        reason=reason, created_at=now,
    )  # fmt: skip


def _check_number(rows: Sequence[Row], request: BulkRequest, what: str) -> None:
    if len(rows) > MAX_BULK_ITEMS:
        words = f"matches more than {MAX_BULK_ITEMS} {what} that can be changed: narrow the filter"
        raise invalid("query", request.filter[:200], words)


def _refusal(principal: Principal, permission: str, action: str, kind: str, row: Row) -> str:
    """Why nothing is requested of this plan or task; empty if it is."""
    if not row["applies"]:
        return f"{kind} {row['id']} is {row['state']}: {_REFUSALS.get(action, _NEVER_MOVES)}"
    reach = principal.reach(permission)
    if not reach.everywhere and not reach.changes(Object(row["project"], frozenset(row["engines"]), row["actor"])):
        return f"this needs the permission {permission} for this {kind}"
    return ""


async def _save(
    work: UnitOfWork, deps: Dependencies, principal: Principal, request: BulkRequest, kind: str, rows: Sequence[Row],
    item: Callable[[Row], tuple[UUID | None, UUID | None, str]],
) -> dict[str, Any]:  # fmt: skip
    """Store every item with its operation, or with why there is none; ids of nothing are refused too."""
    items = [
        BulkItem(request.id, position, f"{kind}:{row['id']}", row["name"], *item(row))
        for position, row in enumerate(rows)
    ]
    found = {row["id"] for row in rows}
    for id in dict.fromkeys(request.ids):
        if id not in found:
            items.append(
                BulkItem(request.id, len(items), f"{kind}:{id}", "", None, None, f"there is no {kind} {id}")
            )  # fmt: skip
    await store.save(
        work.connection, request.id, f"{kind}.{request.action}", filter=request.filter, actor=principal.actor,
        reason=request.reason, trace_id=current_trace_id(), at=deps.clock.now(), items=items,
    )  # fmt: skip
    saved = await store.load(work.connection, request.id)
    assert saved is not None
    return saved
