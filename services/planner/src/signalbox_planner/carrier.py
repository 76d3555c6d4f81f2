"""Carries out what the rules decided: performs the effects of plans, publishes their state and saves them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_planner import effects, facts
from signalbox_planner.plan import Plan
from signalbox_planner.store import plans as store

_PERFORM: Final[Mapping[type[Any], Any]] = {
    effects.PublishRules: facts.publish_rules,
    effects.PublishItems: facts.publish_items,
    effects.EnsureTasks: facts.ensure_tasks,
    effects.QueryTasks: facts.query_tasks,
    effects.CancelTasks: facts.cancel_tasks,
}


async def save_changes(
    work: UnitOfWork, plans: Iterable[Plan], at: datetime, *, new: Collection[UUID] = ()
) -> None:  # fmt: skip
    """Perform the effects of these plans in order, publish `plan.state` where something changed, and save them."""
    await store.save(work.connection, [_publish(work, plan, at) for plan in plans], new=new)


def _publish(work: UnitOfWork, plan: Plan, at: datetime) -> Plan:
    if not plan.effects and not plan.has_unpublished_change:
        return plan
    with facts.in_trace(plan):
        for effect in plan.effects:
            perform: Callable[..., None] = _PERFORM[type(effect)]
            perform(work, plan, effect, at)
        if plan.has_unpublished_change:
            facts.publish_plan(work, plan, at)
    return replace(plan, published_version=plan.version, answered=(), effects=())
