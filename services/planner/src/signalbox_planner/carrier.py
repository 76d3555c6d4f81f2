"""Carries out what the rules decided: performs the effects of plans, publishes their state and saves them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_planner import effects, facts
from signalbox_planner.effects import EndItems, PublishItems
from signalbox_planner.plan import PAGE_ITEMS, Plan
from signalbox_planner.store import items
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
    done: list[Plan] = []
    for plan in plans:
        ended = [effect for effect in plan.effects if isinstance(effect, EndItems)]
        others = tuple(effect for effect in plan.effects if not isinstance(effect, EndItems))
        pages = await _end_items(work, plan, ended) if ended else ()
        done.append(_publish(work, replace(plan, effects=(*others, *pages)), at))
    await store.save(work.connection, done, new=new)


async def _end_items(work: UnitOfWork, plan: Plan, ended: list[EndItems]) -> tuple[PublishItems, ...]:
    """Save the items that ended without a task; their pages are published again."""
    for effect in ended:
        await items.end_unsent(work.connection, plan.id, effect.first, effect.end, effect.state, effect.reason)
    numbers = sorted(
        {number for effect in ended for number in range(effect.first // PAGE_ITEMS, -(-effect.end // PAGE_ITEMS))}
    )
    pages: list[PublishItems] = []
    for number in numbers:
        rows = await items.page(work.connection, plan.id, number * PAGE_ITEMS, (number + 1) * PAGE_ITEMS)
        pages.append(PublishItems(number + 1, tuple(rows), repeated=True))
    return tuple(pages)


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
