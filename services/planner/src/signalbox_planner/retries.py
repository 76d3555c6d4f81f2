"""Retries of failures: a linked child plan of what failed in an ended plan."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.requests import Origin
from signalbox_planner import facts, lifecycle
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.expand import RequestRefused
from signalbox_planner.plan import Plan, PlanSpec, RulesSync
from signalbox_planner.store import items, plans

_RETRIED = ("FAILED", "CANCELLED")


def child_plan(
    parent: Plan, id: UUID, *, actor: str, reason: str, definitions_revision: int, traceparent: str | None,
    version: int, requested_at: datetime, now: datetime,
) -> Plan:  # fmt: skip
    """The accepted plan that retries failures of `parent`."""
    spec = parent.spec.model_copy(
        update={
            "name": f"Retry of {parent.spec.name}"[:200], "actor": actor, "reason": reason, "parent": parent.id,
            "origin": Origin.PERSON,
        }
    )  # fmt: skip
    plan = Plan(
        id=id, version=version, rules=RulesSync(parent.rules.rules, version=version), spec=spec,
        definitions_revision=definitions_revision, created_at=requested_at, traceparent=traceparent,
    )  # fmt: skip
    return lifecycle.accept(plan, now)


async def copy_failures(
    work: UnitOfWork, dispatcher: Dispatcher, child: Plan, parent_id: UUID, keys: Sequence[str], now: datetime
) -> Plan:
    """Begin to copy what failed in the parent; the `advance` loop copies what does not fit in one step."""
    try:
        parent, total = await _failures_of(work, parent_id, keys)
    except RequestRefused as error:
        return lifecycle.refuse(child, now, str(error))
    spec = _spec_from(child.spec, parent)
    intake = replace(child.intake, pages=facts.pages_of(total), copy_position=0)
    return await dispatcher.copy_failures(work, replace(child, spec=spec, intake=intake), now, keys=keys)


async def _failures_of(work: UnitOfWork, parent_id: UUID, keys: Sequence[str]) -> tuple[Plan, int]:
    """The parent and how many of its items are retried. Raises `RequestRefused`."""
    parent = (await plans.locked(work.connection, [parent_id])).get(parent_id)
    if parent is None:
        raise RequestRefused(f"plan {parent_id} is not known: nothing can be retried")
    if not parent.ended:
        raise RequestRefused(f"plan {parent_id} is {parent.state}: only what has ended is retried")
    if parent.progress is not None:
        raise RequestRefused(f"plan {parent_id} ran a pipeline: run it again from its failed steps instead")
    rows = {row.key: row for row in await items.by_key(work.connection, parent_id, keys)} if keys else {}
    for key in keys:
        if key not in rows or rows[key].state not in _RETRIED:
            state = rows[key].state if key in rows else "not in this plan"
            raise RequestRefused(f"item_keys: {key!r} is {state}: only FAILED and CANCELLED are retried")
    total = len(keys) or await items.count_failures(work.connection, parent_id)
    if not total:
        raise RequestRefused(f"nothing failed in plan {parent_id}: there is nothing to retry")
    return parent, total


def _spec_from(spec: PlanSpec, parent: Plan) -> PlanSpec:
    """The child's spec: what runs is the parent's, who asked for it is the child's own."""
    inherited = (
        "project", "target", "target_version", "event_date", "params", "retries", "time_limits", "on_unknown",
        "fails_with_item",
    )  # fmt: skip
    update = {name: getattr(parent.spec, name) for name in inherited}
    return spec.model_copy(update={**update, "parent": parent.id})
