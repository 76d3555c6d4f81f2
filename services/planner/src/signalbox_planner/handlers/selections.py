"""Answers to selections, and the commands about previews."""

from collections.abc import Sequence
from uuid import UUID

from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.tasks import SelectionResolved
from signalbox_planner.carrier import save_changes
from signalbox_planner.dispatch import Dispatcher
from signalbox_planner.previews import resolved
from signalbox_planner.store import plans, previews


def register(router: Router, dispatcher: Dispatcher) -> None:
    """The handler of `selection.resolved`."""

    @router.on(SelectionResolved)
    async def selection_resolved(work: UnitOfWork, events: Sequence[Received[SelectionResolved]]) -> None:
        ids: list[UUID] = sorted({received.event.data.plan_id for received in events})
        known, now, _ = await plans.locked_now(work.connection, ids)
        touched: set[UUID] = set()
        for received in events:
            data = received.event.data
            if data.plan_id in known and await previews.keep_page(work.connection, data):
                touched.add(data.plan_id)
        changed = [
            after
            for plan_id in sorted(touched)
            if (after := await resolved(work, dispatcher, known[plan_id], now)) is not known[plan_id]
        ]
        await save_changes(work, changed, now)
        if changed:
            work.on_commit(dispatcher.wake)
