"""In: plan_list, plan_counts, plan_show, plan_events, plan_items, plan_tasks. Changes: nothing."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from signalbox_contracts.states import PLAN_ENDS
from signalbox_gateway import consumer_presence
from signalbox_gateway.http.access import permission, visible
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.read_model import queries, services, usage, wait_details, wait_reasons
from signalbox_gateway.read_model.queries import PlanFilter, TaskFilter
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.params import (
    Cursor,
    Decisions,
    Ids,
    InstantParameter,
    Labels,
    Limit,
    MinVersion,
    Part,
    PlanStates,
    Reasons,
    TaskStates,
    Until,
    Wait,
    Words,
    after,
    answer,
    missing,
    page,
    seconds,
)

_ENDS: Final = frozenset(state.value for state in PLAN_ENDS)
_MOVERS: Final = ("planner", "executor", "api-gateway")
"""The services by which a plan moves and is shown."""
LATE_SECONDS: Final = 2.0
"""How long the last facts of an ended plan's tasks are waited for."""


async def wanted_plans(
    request: Request,
    state: PlanStates = [],  # noqa: B006 -- FastAPI copies defaults
    project: Words = [],  # noqa: B006
    target: Words = [],  # noqa: B006
    actor: Words = [],  # noqa: B006
    label: Labels = [],  # noqa: B006
    parent: Ids = [],  # noqa: B006
    created_after: Annotated[InstantParameter | None, Query(description="Created at this instant or later.")] = None,
    created_before: Annotated[InstantParameter | None, Query(description="Created before this instant.")] = None,
    ended_after: Annotated[InstantParameter | None, Query(description="Ended at this instant or later.")] = None,
    ended_before: Annotated[InstantParameter | None, Query(description="Ended before this instant.")] = None,
    q: Part = "",
) -> PlanFilter:
    return PlanFilter(
        state=state, project=project, target=target, actor=actor, label=label, parent=parent,
        created_after=created_after, created_before=created_before, ended_after=ended_after,
        ended_before=ended_before, q=q, visible=visible(request),
    )  # fmt: skip


Wanted = Annotated[PlanFilter, Depends(wanted_plans)]


router = PrefixRouter(prefix="/plans", tags=["plans"], dependencies=[Depends(permission("plan.read"))])


@router.get("", operation_id="plan_list", response_model=answers.page_of(answers.Plan))
async def plan_list(deps: Deps, wanted: Wanted, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Plans, newest first; with `ended_after` or `ended_before`, ended plans, the newest end first."""
    kind = "plans_by_end" if wanted.by_end else "plans"
    begin = after(kind, cursor)
    async with deps.database.connection() as connection:
        return page(kind, await queries.plans(connection, wanted, limit=limit, after=begin))


@router.get("/counts", operation_id="plan_counts", response_model=answers.PlanCounts)
async def plan_counts(deps: Deps, wanted: Wanted) -> Response:
    """How many plans are in each state."""
    async with deps.database.connection() as connection:
        return answer({"counts": await queries.plan_counts(connection, wanted)})


@router.get("/{id}", operation_id="plan_show", response_model=answers.Plan)
async def plan_show(
    deps: Deps, id: UUID, wait: Wait = None, min_version: MinVersion = None, until: Until = None
) -> Response:
    """A plan; with `wait`, as soon as it has that version, or its end and all facts of its tasks."""

    async def look() -> queries.Answer | None:
        async with deps.database.connection() as connection:
            return await queries.plan(connection, id)

    def enough(seen: queries.Answer | None) -> bool:
        return seen is None or (
            (min_version is None or seen["version"] >= min_version) and (until is None or has_ended(seen))
        )

    seen = await deps.waits.until(id, look, enough, seconds=seconds(wait))
    if seen is None:
        raise missing("plan", id)
    return answer(await _with_reasons(deps, seen))


@router.get("/{id}/events", operation_id="plan_events", response_model=answers.page_of(answers.PlanEvent))
async def plan_events(deps: Deps, id: UUID, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The state transitions of a plan with actor and reason, oldest first."""
    begin = after("events", cursor)
    async with deps.database.connection() as connection:
        await _must_be_there(connection, id)
        return page("events", await queries.plan_events(connection, id, limit=limit, after=begin))


@router.get("/{id}/items", operation_id="plan_items", response_model=answers.page_of(answers.Item))
async def plan_items(
    deps: Deps,
    id: UUID,
    decision: Decisions = [],  # noqa: B006
    state: TaskStates = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The items of a plan as decided, by position."""
    begin = after("items", cursor)
    async with deps.database.connection() as connection:
        await _must_be_there(connection, id)
        found = await queries.plan_items(connection, id, decision=decision, state=state, limit=limit, after=begin)
    return page("items", found)


@router.get("/{id}/tasks", operation_id="plan_tasks", response_model=answers.page_of(answers.Task))
async def plan_tasks(
    request: Request,
    deps: Deps,
    id: UUID,
    state: TaskStates = [],  # noqa: B006
    engine: Words = [],  # noqa: B006
    why: Reasons = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The tasks of a plan, by position."""
    begin = after("tasks_of_plan", cursor)
    wanted = TaskFilter(plan=[id], state=state, engine=engine, why=why, visible=visible(request))
    async with deps.database.connection() as connection:
        await _must_be_there(connection, id)
        return page("tasks_of_plan", await queries.tasks(connection, wanted, limit=limit, after=begin))


def has_ended(seen: queries.Answer) -> bool:
    """Whether a plan is over and everything about it was read, or its end is old enough not to wait for the rest."""
    if seen["state"] not in _ENDS:
        return False
    ended_at = seen["ended_at"]
    late = ended_at is None or datetime.now(UTC) - datetime.fromisoformat(ended_at) > timedelta(seconds=LATE_SECONDS)
    return seen["complete"] or late


async def _must_be_there(connection: Any, id: UUID) -> None:
    if not await usage.plan_exists(connection, id):
        raise missing("plan", id)


async def _with_reasons(deps: Dependencies, seen: queries.Answer) -> queries.Answer:
    """A plan with what the gateway itself knows of why it does not move: also that nobody is there to move it."""
    if seen["waiting"]:
        async with deps.database.connection() as connection:
            seen = await wait_details.of_plan(connection, seen)
    if not consumer_presence.late(seen["created_at"]) or seen["state"] in _ENDS:
        return seen
    async with deps.database.connection() as connection:
        letter = await queries.parked_of(connection, seen["id"])
    if letter is not None:
        return {**seen, "waiting": [wait_reasons.parked(letter, seen["id"]), *seen["waiting"]]}
    async with deps.database.connection() as connection:
        found = await services.health(connection)
    failing = [wait_reasons.failing(one) for one in found["troubles"] if one["service"] in _MOVERS]
    if failing:
        return {**seen, "waiting": [*failing, *seen["waiting"]][: queries.MAX_WAITING]}
    counts, missing = seen["counts"], None
    if seen["version"] == 0:
        missing = await consumer_presence.planner(deps, seen["id"], seen["created_at"])
    elif counts["waiting"] and not counts["active"]:
        missing = await consumer_presence.executor(deps)
    return {**seen, "waiting": [*seen["waiting"], missing]} if missing else seen
