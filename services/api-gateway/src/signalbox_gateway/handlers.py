"""In: plan.state, plan.items, tasks.state, task.progress, engine.state, operation.result, dead_letter.parked,
dead_letter.state, service.state, incident.state, delivery.state, reprocessing.state. Changes: the read model (plan,
task, task_progress, engine_state, service_state, operation_answer, parked, incident, delivery, reprocessing_job). Out:
definitions whose revision an executor never had from here; waiting requests wake.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.messaging.received import Received
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.runtime.health import Restated
from signalbox_contracts.messages.dead_letters import DeadLetterParked, DeadLetterState
from signalbox_contracts.messages.deliveries import DeliveryStated
from signalbox_contracts.messages.plans import PlanItems, PlanItemsData, PlanStated
from signalbox_contracts.messages.reprocessing import ReprocessingStated
from signalbox_contracts.messages.states import EngineStated, IncidentStated, OperationResult, ServiceStated
from signalbox_contracts.messages.tasks import TaskProgress, TasksStated
from signalbox_contracts.topics import topic
from signalbox_gateway import start_facts
from signalbox_gateway.definitions import publish
from signalbox_gateway.long_poll import Waits
from signalbox_gateway.read_model import notifications, reprocessing, services, writes
from signalbox_gateway.read_model.progress import write_progress
from signalbox_gateway.read_model.rows import (
    AnswerRow,
    ItemRow,
    PlanEventRow,
    PlanRow,
    TaskFacts,
    answer_row,
    item_rows,
    page_row,
    parked_row,
    plan_events,
    plan_row,
    trace_id,
)
from signalbox_gateway.recovery import rebuild

_MANY = 50
TOPICS = tuple(
    topic(name) for name in ("plans.v1", "tasks.v1", "states.v1", "ticks.v1", "deliveries.v1", "dead-letters.v1")
)


def _unnoted(what: str, version: int) -> None:
    """Nobody is interested in what was restated."""


def subscription(waits: Waits, restated: Restated = _unnoted) -> Subscription:
    """What the read model is made from."""
    return Subscription("facts", TOPICS, facts(waits, restated))


def facts(waits: Waits, restated: Restated = _unnoted) -> Router:
    """Facts of plans, tasks, engines, operations and parked messages."""
    router = Router()
    start_facts.register(router)

    @router.on(PlanStated)
    async def plans(work: UnitOfWork, events: Sequence[Received[PlanStated]]) -> None:
        rows: dict[UUID, PlanRow] = {}
        moves: dict[tuple[UUID, int], PlanEventRow] = {}
        answers: list[AnswerRow] = []
        for received in events:
            record = received.event.data
            seen = rows.get(record.plan_id)
            if seen is None or seen.version < record.version:
                rows[record.plan_id] = plan_row(record, trace_id(_traceparent(received)))
            moves |= {(move.plan_id, move.version): move for move in plan_events(record)}
            answers += [AnswerRow(id, "done", "", None, received.event.time) for id in _uuids(record.answered)]
        await writes.write_plans(work.connection, list(rows.values()), list(moves.values()))
        await writes.write_answers(work.connection, answers)
        ended = [row.id for row in rows.values() if row.expected]
        if ended:
            await writes.complete_plans(work.connection, ended)
        work.on_commit(lambda: waits.notify([*rows, *(answer.operation_id for answer in answers)]))

    @router.on(PlanItems)
    async def items(work: UnitOfWork, events: Sequence[Received[PlanItems]]) -> None:
        pages: dict[tuple[UUID, int], PlanItemsData] = {}
        for received in events:
            data = received.event.data
            seen = pages.get((data.plan_id, data.page))
            if seen is None or (seen.round, seen.version) < (data.round, data.version):
                pages[data.plan_id, data.page] = data
        news = await writes.take_pages(work.connection, [page_row(data) for data in pages.values()])
        lines: dict[UUID, ItemRow] = {row.id: row for key in sorted(news) for row in item_rows(pages[key])}
        await writes.write_items(work.connection, list(lines.values()))
        await _complete(work, waits, {plan for plan, _ in news})

    @router.on(TasksStated)
    async def tasks(work: UnitOfWork, events: Sequence[Received[TasksStated]]) -> None:
        stated = TaskFacts()
        for received in events:
            stated.add(received.event.data)
            if len(received.event.data.tasks) > _MANY:
                await asyncio.sleep(0)  # requests get their turn between large pages
        if not stated.tasks:
            return
        await writes.write_tasks(work.connection, stated)
        await _complete(work, waits, {row.plan_id for row in stated.tasks.values()})
        work.on_commit(lambda: waits.notify(stated.tasks))

    @router.on(TaskProgress)
    async def progress(work: UnitOfWork, events: Sequence[Received[TaskProgress]]) -> None:
        await write_progress(work.connection, [received.event.data for received in events])

    @router.on(EngineStated)
    async def engines(work: UnitOfWork, events: Sequence[Received[EngineStated]]) -> None:
        records = [received.event.data for received in events]
        await writes.write_engines(work.connection, records)
        newest = {record.engine_id: record.definitions_revision for record in records}
        for id, revision in (await publish.restate_engines(work, newest)).items():
            restated(f"definition of engine {id}", revision)

    @router.on(ServiceStated)
    async def service_states(work: UnitOfWork, events: Sequence[Received[ServiceStated]]) -> None:
        await services.write(work.connection, [received.event.data for received in events])

    @router.on(IncidentStated)
    async def incidents(work: UnitOfWork, events: Sequence[Received[IncidentStated]]) -> None:
        records = [(received.event.data, received.event.project or "default") for received in events]
        await notifications.write_incidents(work.connection, records)

    @router.on(DeliveryStated)
    async def deliveries(work: UnitOfWork, events: Sequence[Received[DeliveryStated]]) -> None:
        await notifications.write_deliveries(work.connection, [received.event.data for received in events])

    @router.on(ReprocessingStated)
    async def reprocessing_jobs(work: UnitOfWork, events: Sequence[Received[ReprocessingStated]]) -> None:
        records = [received.event.data for received in events]
        await reprocessing.write_states(work.connection, records)
        work.on_commit(lambda: waits.notify([record.job_id for record in records]))

    @router.on(OperationResult)
    async def results(work: UnitOfWork, events: Sequence[Received[OperationResult]]) -> None:
        answered = [received.event.data for received in events]
        kept = [
            answer_row(received.event.data, received.event.time)
            for received in events
            if not rebuild.own_question(received.event.data)
        ]
        await writes.write_answers(work.connection, kept)
        letters = [
            (data.operation_id, data.operation, data.outcome.value)
            for data in answered
            if data.operation.startswith("dead_letter.")
        ]
        await writes.settle_letters(work.connection, letters)
        plans = _uuids(
            data.target.partition(":")[2] for data in answered if data.target.startswith(("plan:", "reprocessing:"))
        )
        work.on_commit(lambda: waits.notify([*plans, *(data.operation_id for data in answered)]))

    @router.on(DeadLetterParked)
    async def letters(work: UnitOfWork, events: Sequence[Received[DeadLetterParked]]) -> None:
        await writes.write_parked(work.connection, [parked_row(received.event.data) for received in events])

    @router.on(DeadLetterState)
    async def letter_states(work: UnitOfWork, events: Sequence[Received[DeadLetterState]]) -> None:
        states = [received.event.data for received in events]
        rows = [(data.dead_letter_id, data.state.value, data.attempts, data.error) for data in states]
        await writes.write_letter_states(work.connection, rows)

    return router


async def _complete(work: UnitOfWork, waits: Waits, plans: set[UUID]) -> None:
    """The last fact of an ended plan may come after its end: then whoever waits for the end has it now."""
    complete = await writes.complete_plans(work.connection, plans)
    if complete:
        work.on_commit(lambda: waits.notify(complete))


def _traceparent(received: Received[Any]) -> str | None:
    return received.event.traceparent or received.trace.get("traceparent")


def _uuids(texts: Any) -> list[UUID]:
    """Those that are ids: an operation may carry a name of its sender's."""
    found: list[UUID] = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found
