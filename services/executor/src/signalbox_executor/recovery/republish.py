"""Publishes task states again for readers that lost theirs (`plan.republish`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_contracts.messages.states import EngineStated, Outcome
from signalbox_executor import facts
from signalbox_executor.operations import answer
from signalbox_executor.store import accept, operations, states
from signalbox_executor.store.operations import Republish
from signalbox_executor.store.rows import Task

PAGE: Final = 1000
_FIRST: Final = UUID(int=0)


@dataclass
class Republisher:
    """Publishes the tasks of plans again, or all there are, a page a transaction."""

    database: Database

    async def one_pass(self) -> bool:
        """Publish the next page; True while there may be more."""
        async with self.database.unit_of_work() as work:
            request = await operations.next_republish(work.connection)
            if request is None:
                return False
            if request.plan_ids:
                tasks = await accept.of_plan(work.connection, request.plan_ids[0], after=request.after, limit=PAGE)
            else:
                tasks = await accept.of_all(work.connection, plan=request.after_plan, after=request.after, limit=PAGE)
                if not request.republished:
                    await _republish_engines(work, request.operation.at)
            ids = [task.id for task in tasks]
            facts.republish(
                work, tasks, request.operation.at, histories=await accept.histories(work.connection, ids),
                attempts=await accept.past_attempts(work.connection, ids),
            )  # fmt: skip
            await _advance(work, request, tasks)
        return True


async def _republish_engines(work: UnitOfWork, at: datetime) -> None:
    for record in await states.published(work.connection):
        work.publish(
            EngineStated.of(record, subject=f"engine:{record.engine_id}", source=facts.SOURCE, time=at, id=uuid4())
        )


async def _advance(work: UnitOfWork, request: Republish, tasks: Sequence[Task]) -> None:
    """Remember how far this request is, or answer that it is done."""
    is_last_page = len(tasks) < PAGE
    rest = request.plan_ids[1:] if is_last_page else request.plan_ids
    if rest or not is_last_page:
        after_plan, after = (_FIRST, _FIRST) if is_last_page else (tasks[-1].plan_id, tasks[-1].id)
        await operations.advance_republish(
            work.connection, request.operation.id, rest, after_plan=after_plan, after=after, count=len(tasks)
        )
    elif await operations.done(work.connection, request.operation.id):
        count = request.republished + len(tasks)
        answer(work, request.operation, Outcome.DONE, f"{count} tasks published again", {"tasks": count})
